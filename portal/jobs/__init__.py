"""What a served product does by itself, each job on a schedule of its own.

    cases            follow the consent log and open cases            every 2 s
    delivery         send notices that are due                        every 2 s
    announcements    announce the read logs of gates that wait        every 2 s
    anchoring        record size and root of read logs that grew      every minute
    publication      write the public tile directories                every minute
    refits           fit a release that is due                        every minute
    contract-checks  hold the source against the contracts            every hour

`schedule` lists them, `runner` runs them, `failure` words what went wrong; the other modules are
one job each. portal.operations.job_results records how each run ended.
"""
