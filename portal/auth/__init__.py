"""How people prove who they are: sessions, passkeys, OpenID Connect, customers' own keys."""
