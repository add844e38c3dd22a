-- What wrk sends and says. Its arguments: varied or same, the path before the route's number, how many routes, the path behind,
-- the codings that are accepted.
--
-- varied: each request has a query, a cookie, a referer and an id that no other request has, as real traffic does.
-- same: all requests are alike, byte for byte.

local varied, before, routes, behind
local number = 0
local first = {}

local fields
local FIELDS = {
  "Host: www.example.com",
  "Connection: keep-alive",
  "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
  "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
  "Accept-Language: en-US,en;q=0.9,de;q=0.7",
  "Sec-Fetch-Site: same-origin",
  "Sec-Fetch-Mode: navigate",
}

local function words(at)
  local id = string.format("%08x%04x", at, (at * 40503) % 65536)
  local route = routes > 1 and before .. (at % routes) or before
  return "GET " .. route .. behind .. "?page=" .. at .. "&q=" .. id .. " HTTP/1.1\r\n" .. fields
    .. "Referer: http://www.example.com/list?page=" .. at .. "\r\n"
    .. "Cookie: session=" .. id .. id .. "; theme=dark; seen=" .. at .. "\r\n"
    .. "X-Request-ID: " .. id .. "-" .. at .. "\r\n\r\n"
end

function init(args)
  varied, before, routes, behind = args[1] == "varied", args[2], tonumber(args[3]), args[4]
  fields = table.concat(FIELDS, "\r\n") .. "\r\nAccept-Encoding: " .. args[5] .. "\r\n"
  number = 2e9 + os.time() % 1000 * 1e6  -- further than any run gets, so that none asks for what another one has asked for
  for at = 0, routes - 1 do first[at] = words(at) end
end

function request()
  number = number + 1
  return varied and words(number) or first[number % routes]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "seconds": %.6f, "p50": %.6f, "p99": %.6f, "bad": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e6, latency:percentile(99) / 1e6,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout
  ))
end
