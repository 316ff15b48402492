"""HTTP errors, paging, request ids and server-sent events, shared by the front doors."""
