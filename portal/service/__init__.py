"""What a developer of a service needs: the gate's API, its description, a page to try it."""
