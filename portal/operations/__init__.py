"""The running product: settings, wiring, gate process, releases, erasure, mail, job results."""
