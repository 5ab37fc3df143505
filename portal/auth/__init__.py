"""How people prove who they are: sessions, passkeys, OpenID Connect, keys of their own."""
