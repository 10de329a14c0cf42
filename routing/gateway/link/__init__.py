"""
A worker's link to its host: snapshots from disk, news and benches by the hub's socket.

`channel` is what the two ends say, and how anybody asks the hub; `live` is a worker's end,
`scraping` its metrics, `fleet` and `version` what processes tell of themselves. The control plane
enters by `channel` and `fleet`.
"""
