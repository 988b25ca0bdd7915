"""The dashboard at /dashboard: what the ledger, the metrics and the health of providers tell, in a browser.

`endpoint` lets in and answers, `sessions` signs in, `site` has the pages, `pages` their templates, `charts` the
pictures, `live` the stream of what runs. All but the first two need the extra `dashboard`, and are imported on use.
"""
