-- wrk sends the photos of a folder in turn, each as a multipart form, and reports one line of JSON.
-- wrk ... -s serving.lua ADDRESS -- PATH PHOTO...
local requests, at = {}, 0

function init(args)
  for place = 2, #args do
    local file = assert(io.open(args[place], "rb"))
    local photo = file:read("*a")
    file:close()
    local body = '--b\r\nContent-Disposition: form-data; name="file"; filename="p.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
      .. photo .. "\r\n--b--\r\n"
    table.insert(requests, wrk.format("POST", args[1], {["Content-Type"] = "multipart/form-data; boundary=b"}, body))
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, "refused": %d, "broken": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
