-- What bench/load/driver.py has wrk send, and the numbers it reads back as one JSON line.

wrk.method = "POST"
wrk.body = os.getenv("BENCH_BODY")

function done(summary, latency, requests)
  local failed = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"errors":%d,"seconds":%f,"p50_ms":%f,"p99_ms":%f}\n',
    summary.requests - failed.status,
    failed.connect + failed.read + failed.write + failed.status + failed.timeout,
    summary.duration / 1e6,
    latency:percentile(50) / 1000,
    latency:percentile(99) / 1000
  ))
end
