-- Wireshark's view of SockMux, both dialects: what `sockmuxctl dump -w FILE` writes, and captures of clear links.
--
--   tshark -X lua_script:tools/sockmux.lua -r FILE
--   tshark -X lua_script:tools/sockmux.lua -d tcp.port==9000,sockmux -r CAPTURE
--
-- Or put it into Wireshark's folder of personal Lua plugins. The protocol, and the rules that are meant here: sockmux(7).
--
-- A file of `sockmuxctl dump` is pcapng with link type 147 (LINKTYPE_USER0) and an interface for each link. Before each packet
-- stand 8 bytes:
--
--   0        1          2        3      4                    8
--   +--------+----------+--------+------+--------------------+---------------- ...
--   |version |direction |dialect |  0   | session, u32       | the packet, from its first byte
--   | 1      |0 received|0, 1, 3 |      | big-endian         |
--   |        |1 sent    |        |      |                    |
--   +--------+----------+--------+------+--------------------+---------------- ...
--
-- Dialect 3 is 0.3; 0 stands before the first HELLO. The payload's length in the packet's header is the full one. Of the payload
-- less may be in the file: data of channels are not, but with --payload, nor keys of CRYPTON. A session's id is written as '*'.

local NONE, NONE03 = 0xffff, 0x00ff

local sockmux = Proto("sockmux", "SockMux")
local dump = Proto("sockmux_dump", "sockmuxctl dump")

local types = {
  [0x00] = "NOOP", [0x01] = "HELLO", [0x02] = "CONNECT", [0x04] = "BIND", [0x06] = "SEND", [0x07] = "SENDOOB",
  [0x08] = "CLOSE", [0x09] = "ECHO", [0x0a] = "SETOPT", [0x0c] = "CRYPTON", [0x0e] = "UNBIND", [0x10] = "SETTINGS",
  [0x11] = "ACK", [0x12] = "REPEAT", [0x13] = "BYE", [0x20] = "CREDIT", [0x21] = "FIN", [0x22] = "DGRAM",
  [0x23] = "PART", [0x24] = "REFUND", [0x41] = "HELLOOK", [0x42] = "CONNECTED", [0x44] = "BINDOK", [0x46] = "SENT",
  [0x47] = "SENTOOB", [0x48] = "CLOSED", [0x49] = "ECHOOK",
}
local firsts = { [0x03] = "0.3, or HELLO", [0x10] = "1, unnumbered", [0x11] = "1, numbered", [0x83] = "0.3, DeleGate's encryption" }
local closes = {
  [0] = "done", [1] = "reset", [2] = "refused", [3] = "unreachable", [4] = "timed out", [5] = "forbidden", [6] = "limit",
  [7] = "no server", [8] = "idle", [9] = "name not found", [10] = "unsupported", [11] = "local error", [12] = "shutdown",
}
local byes = {
  [0x00] = "restart", [0x01] = "replaced", [0x02] = "stale", [0x03] = "timed out", [0x04] = "busy", [0x05] = "name in use",
  [0x80] = "shutdown", [0x81] = "protocol error", [0x82] = "unsupported", [0x83] = "forbidden", [0x84] = "session broken",
}
local kinds = { [1] = "TCP", [2] = "UDP" }

local f = {
  first = ProtoField.uint8("sockmux.first", "First byte", base.HEX, firsts),
  type = ProtoField.uint8("sockmux.type", "Type", base.HEX, types),
  said = ProtoField.uint16("sockmux.said", "Id of the sender (said)", base.DEC),
  raid = ProtoField.uint16("sockmux.raid", "Id of the receiver (raid)", base.DEC),
  length = ProtoField.uint16("sockmux.length", "Payload length", base.DEC),
  channel = ProtoField.uint16("sockmux.channel", "Channel", base.DEC),
  opener = ProtoField.string("sockmux.opener", "Opened by"),
  data = ProtoField.bytes("sockmux.data", "Data"),
  hello = ProtoField.string("sockmux.hello", "HELLO"),
  text = ProtoField.string("sockmux.text", "Text"),
  nonce = ProtoField.uint32("sockmux.nonce", "Nonce answered", base.HEX),
  session = ProtoField.string("sockmux.session", "Session id"),
  received = ProtoField.uint64("sockmux.received", "Received", base.DEC),
  attempt = ProtoField.string("sockmux.attempt", "Attempt"),
  credit = ProtoField.uint32("sockmux.credit", "Credit", base.DEC),
  channels = ProtoField.uint16("sockmux.channels", "Channels", base.DEC),
  hold = ProtoField.uint16("sockmux.hold", "Hold, seconds", base.DEC),
  name = ProtoField.string("sockmux.name", "Name"),
  kind = ProtoField.uint8("sockmux.kind", "Kind", base.DEC, kinds),
  client = ProtoField.string("sockmux.client", "Client"),
  at = ProtoField.string("sockmux.at", "Where it was accepted, or is to listen"),
  server = ProtoField.string("sockmux.server", "Server"),
  from = ProtoField.string("sockmux.from", "From"),
  via = ProtoField.string("sockmux.via", "Via"),
  bind = ProtoField.uint16("sockmux.bind", "For the BIND", base.DEC),
  to_client = ProtoField.string("sockmux.to_client", "To the client of channel:port"),
  for_client = ProtoField.uint16("sockmux.for_client", "For the client of channel", base.DEC),
  field = ProtoField.bytes("sockmux.field", "Unknown field"),
  position = ProtoField.uint64("sockmux.position", "Numbered bytes processed", base.DEC),
  from_byte = ProtoField.uint64("sockmux.repeat.from", "From", base.DEC),
  to_byte = ProtoField.uint64("sockmux.repeat.to", "To, 0: all", base.DEC),
  close = ProtoField.uint8("sockmux.close", "Code", base.DEC, closes),
  bye = ProtoField.uint8("sockmux.bye", "Code", base.HEX, byes),
  count = ProtoField.string("sockmux.count", "Count"),
  option = ProtoField.string("sockmux.option", "Option"),
}
local fields = {}
for _, v in pairs(f) do fields[#fields + 1] = v end
sockmux.fields = fields

local d = {
  version = ProtoField.uint8("sockmux_dump.version", "Version", base.DEC),
  direction = ProtoField.uint8("sockmux_dump.direction", "Direction", base.DEC, { [0] = "received", [1] = "sent" }),
  dialect = ProtoField.uint8("sockmux_dump.dialect", "Dialect", base.DEC, { [0] = "?", [1] = "1", [3] = "0.3" }),
  session = ProtoField.uint32("sockmux_dump.session", "Session", base.DEC),
}
dump.fields = { d.version, d.direction, d.dialect, d.session }

local short = ProtoExpert.new("sockmux.short", "Shorter than its type is", expert.group.MALFORMED, expert.severity.WARN)
local strange = ProtoExpert.new("sockmux.strange", "No packet of SockMux", expert.group.MALFORMED, expert.severity.ERROR)
sockmux.experts = { short, strange }

-- ---- texts

local function printable(s) return (s:gsub("[^\32-\126]", "?")) end

local function quoted(s)
  return '"' .. s:gsub('[%c"\\\127-\255]', function(c)
    if c == "\n" then return "\\n" end
    if c == "\r" then return "\\r" end
    if c == '"' or c == "\\" then return "\\" .. c end
    return string.format("\\x%02x", c:byte())
  end) .. '"'
end

local function raw(range) return range:len() > 0 and range:bytes():raw() or "" end
local function hex(range) return range:len() > 0 and range:bytes():tohex(true) or "" end

-- Up to its first NUL.
local function word(s)
  local nul = s:find("\0", 1, true)
  return nul and s:sub(1, nul - 1) or s
end

-- The shortest text of an IPv6 address (RFC 5952).
local function ip6(range)
  local group, best, best_at = {}, 1, nil
  for i = 0, 7 do group[i] = range(2 * i, 2):uint() end
  local i = 0
  while i < 8 do
    local n = 0
    while i + n < 8 and group[i + n] == 0 do n = n + 1 end
    if n > best then best, best_at = n, i end
    i = i + (n > 0 and n or 1)
  end
  local text, at = "", 0
  while at < 8 do
    if at == best_at then
      text, at = text .. "::", at + best
    else
      if text ~= "" and text:sub(-1) ~= ":" then text = text .. ":" end
      text, at = text .. string.format("%x", group[at]), at + 1
    end
  end
  return text
end

-- Of a field: 04 + 4 + port, 06 + 16 + port, 00 + text.
local function address(range)
  local n = range:len()
  local family = n > 0 and range(0, 1):uint() or nil
  if family == 4 and n == 7 then return tostring(range(1, 4):ipv4()) .. ":" .. range(5, 2):uint() end
  if family == 6 and n == 19 then return "[" .. ip6(range(1, 16)) .. "]:" .. range(17, 2):uint() end
  if family == 0 and n > 1 then return printable(raw(range(1))) end
  return "bad:" .. hex(range)
end

-- As 0.3 writes it: '_' for ':'.
local function address03(s)
  local host, port = s:match("^([^:]+):(%d+)$")
  if host and host:find("_", 1, true) then return "[" .. host:gsub("_", ":") .. "]:" .. port end
  return host and s or "none"
end

-- ---- what is in a payload. `out` collects the words for the Info column.

local function number(range)
  local n = range:len()
  if n == 1 or n == 2 or n == 4 then return tostring(range:uint()) end
  if n == 8 then return tostring(range:uint64()) end
  return "bad:" .. hex(range)
end
local function text_of(range) return printable(raw(range)) end
local function session_of(range)
  return raw(range) == string.rep("\0", range:len()) and "none" or "(secret)"
end
local function attempt_of(range)
  if range:len() ~= 8 then return "bad:" .. hex(range) end
  return string.format("%08x.%s", range(0, 4):uint(), range(4, 4):uint())
end
local function to_client_of(range)
  if range:len() ~= 4 then return "bad:" .. hex(range) end
  return range(0, 2):uint() .. ":" .. range(2, 2):uint()
end

local SETTINGS, CONNECT, BIND, BINDOK = 0x10, 0x02, 0x04, 0x44
local known = {
  [SETTINGS] = {
    [1] = { "session=", f.session, session_of }, [2] = { "received=", f.received, number, 8 },
    [3] = { "attempt=", f.attempt, attempt_of }, [4] = { "credit=", f.credit, number, 4 },
    [5] = { "channels=", f.channels, number, 2 }, [6] = { "hold=", f.hold, number, 2 }, [7] = { "name=", f.name, text_of },
  },
  [CONNECT] = {
    [1] = { "client ", f.client, address }, [2] = { "at ", f.at, address }, [3] = { "via ", f.via, text_of },
    [4] = { "bind ", f.bind, number, 2 }, [0x85] = { "to-client ", f.to_client, to_client_of },
  },
  [BIND] = { [2] = { "at ", f.at, address }, [0x86] = { "for-client ", f.for_client, number, 2 } },
  [BINDOK] = { [2] = { "at ", f.at, address } },
}

local function add_fields(tree, type, range, out)
  local at, n = 0, range:len()
  while at < n do
    if n - at < 2 or range(at + 1, 1):uint() > n - at - 2 then
      tree:add_proto_expert_info(short)
      out[#out + 1] = "bad fields"
      return
    end
    local id, size = range(at, 1):uint(), range(at + 1, 1):uint()
    local row = known[type] and known[type][id]
    local whole = range(at, 2 + size)
    local value = size > 0 and range(at + 2, size) or whole(0, 0)
    if row then
      local text = row[3](value)
      out[#out + 1] = row[1] .. text
      if row[4] and row[4] == size then tree:add(row[2], value)
      elseif not row[4] then tree:add(row[2], whole, text) end
    else
      out[#out + 1] = string.format("field-%02x=%s", id, hex(value))
      tree:add(f.field, whole)
    end
    at = at + 2 + size
  end
end

local function add_data(tree, range)
  if range:len() > 0 then tree:add(f.data, range) end
end

local function add_kind(tree, range, out)
  local kind = range(0, 1):uint()
  tree:add(f.kind, range(0, 1))
  out[#out + 1] = kinds[kind] or "kind-" .. kind
end

local function add_code(tree, field, names, range, out)
  local code = range(0, 1):uint()
  tree:add(field, range(0, 1))
  out[#out + 1] = code .. " " .. (names[code] or (names == closes and "reset" or "unknown"))
  if range:len() > 1 then
    tree:add(f.text, range(1), printable(raw(range(1))))
    out[#out + 1] = quoted(raw(range(1)))
  end
end

local v1 = {
  [SETTINGS] = function(tree, range, out)
    tree:add(f.nonce, range(0, 4))
    out[#out + 1] = string.format("nonce=%08x", range(0, 4):uint())
    if range:len() > 4 then add_fields(tree, SETTINGS, range(4), out) end
  end,
  [CONNECT] = function(tree, range, out)
    add_kind(tree, range, out)
    if range:len() > 1 then add_fields(tree, CONNECT, range(1), out) end
  end,
  [BIND] = function(tree, range, out)
    add_kind(tree, range, out)
    if range:len() > 1 then add_fields(tree, BIND, range(1), out) end
  end,
  [0x42] = function(tree, range, out) add_fields(tree, 0x42, range, out) end,
  [BINDOK] = function(tree, range, out) add_fields(tree, BINDOK, range, out) end,
  [0x11] = function(tree, range, out)
    tree:add(f.position, range(0, 8))
    out[#out + 1] = number(range(0, 8))
  end,
  [0x12] = function(tree, range, out)
    tree:add(f.from_byte, range(0, 8))
    tree:add(f.to_byte, range(8, 8))
    local to = number(range(8, 8))
    out[#out + 1] = number(range(0, 8)) .. ".." .. (to ~= "0" and to or "")
  end,
  [0x20] = function(tree, range, out)
    tree:add(f.credit, range(0, 4))
    out[#out + 1] = number(range(0, 4))
  end,
  [0x08] = function(tree, range, out) add_code(tree, f.close, closes, range, out) end,
  [0x13] = function(tree, range, out) add_code(tree, f.bye, byes, range, out) end,
  [0x09] = function(tree, range, out)
    add_data(tree, range)
    out[#out + 1] = hex(range)
  end,
}
v1[0x24], v1[0x49] = v1[0x20], v1[0x09]
-- Bytes of payload without which there is nothing to show.
local least1 = { [SETTINGS] = 4, [CONNECT] = 1, [BIND] = 1, [0x11] = 8, [0x12] = 16, [0x20] = 4, [0x24] = 4, [0x08] = 1, [0x13] = 1 }

local function add_text(tree, range, out)
  local s = word(raw(range))
  tree:add(f.text, range, printable(s))
  out[#out + 1] = quoted(s)
end

local function add_words(tree, range, out, first, first_field, second, second_field)
  local all = raw(range)
  local text = word(all)
  local a, b = text:match("^[^ ]* ([^ ]*) ([^ ]*)")
  if a then
    a, b = address03(a), address03(b)
    tree:add(first_field, range(0, #text), a)
    tree:add(second_field, range(0, #text), b)
    out[#out + 1] = first .. a
    out[#out + 1] = second .. b
  else
    out[#out + 1] = quoted(text)
  end
  if #all > #text + 1 then add_data(tree, range(#text + 1)) end
end

local v03 = {
  [0x01] = function(tree, range, out)
    local s = word(raw(range))
    tree:add(f.hello, range, printable(s))
    out[#out + 1] = quoted(s)
  end,
  [0x02] = function(tree, range, out) add_words(tree, range, out, "client ", f.client, "at ", f.at) end,
  [0x42] = function(tree, range, out) add_words(tree, range, out, "server ", f.server, "from ", f.from) end,
  [0x08] = add_text,
  [0x48] = add_text,
  [0x09] = add_text,
  [0x49] = add_text,
  [0x46] = function(tree, range, out)
    local s = printable(word(raw(range)))
    tree:add(f.count, range, s)
    out[#out + 1] = s
  end,
  [0x0a] = function(tree, range, out)
    local n, code = range:len(), range(0, 1):uint()
    local s = hex(range)
    if code == 3 and n >= 3 then s = "PACKSIZE " .. range(1, 2):uint()
    elseif code == 2 and n >= 2 then s = "CONNDATA " .. range(1, 1):uint()
    elseif code == 1 then s = "CRYPT " .. s end
    tree:add(f.option, range, s)
    out[#out + 1] = s
  end,
}
v03[0x41], v03[0x47] = v03[0x01], v03[0x46]

-- ---- a packet

-- SockMux 1: the opener's number; us, peer: who has opened it, where that is known. 0.3: an id of each side, ours first.
local function channel_of(first, type, said, raid, sent)
  if first == 0x03 then
    if type == 0x01 or type == 0x41 then return "-" end
    local function id(v) return (v == NONE or v == NONE03) and "-" or tostring(v) end
    local mine, theirs = id(said), id(raid)
    if sent == false then mine, theirs = theirs, mine end
    return mine == "-" and theirs == "-" and "-" or mine .. "/" .. theirs
  end
  if said == NONE and raid == NONE then return "-" end
  local by_sender = said ~= NONE
  local n = by_sender and said or raid
  if sent == nil then return tostring(n) end
  return (by_sender == sent and "us:" or "peer:") .. n
end

-- The packet that begins at `at`, of which bytes up to `stop` are here. The words for the Info column.
local function one_packet(tvb, at, stop, tree, sent)
  local first, type = tvb(at, 1):uint(), tvb(at + 1, 1):uint()
  local said, raid, length = tvb(at + 2, 2):uint(), tvb(at + 4, 2):uint(), tvb(at + 6, 2):uint()
  local here = math.min(length, stop - at - 8)
  local branch = tree:add(sockmux, tvb(at, 8 + here))
  local name = types[type] or string.format("type-%02x", type)
  local channel = channel_of(first, type, said, raid, sent)
  branch:add(f.first, tvb(at, 1))
  branch:add(f.type, tvb(at + 1, 1))
  branch:add(f.said, tvb(at + 2, 2))
  branch:add(f.raid, tvb(at + 4, 2))
  branch:add(f.length, tvb(at + 6, 2))
  if first ~= 0x03 and channel ~= "-" then
    local by_sender = said ~= NONE
    branch:add(f.channel, by_sender and tvb(at + 2, 2) or tvb(at + 4, 2))
    local who = by_sender and "the sender" or "the receiver"
    if sent ~= nil then who = by_sender == sent and "us" or "the peer" end
    branch:add(f.opener, tvb(at + 2, 4), who):set_generated()
  end
  local out = { name, channel }
  if here > 0 then
    local range = tvb(at + 8, here)
    local show = first == 0x03 and v03[type] or first ~= 0x03 and v1[type]
    if show and first ~= 0x03 and here < (least1[type] or 0) then
      branch:add_proto_expert_info(short)
      out[#out + 1] = hex(range)
    elseif show then
      show(branch, range, out)
    else
      add_data(branch, range)
    end
  end
  if here < length then branch:append_text(string.format(", %d of %d bytes of payload are not here", length - here, length)) end
  local info = table.concat(out, " ")
  branch:append_text(": " .. info)
  return info
end

local function is_first(v) return firsts[v] ~= nil end

-- A stream of a clear link. A secure one begins with SMXS; nothing of it can be read.
function sockmux.dissector(tvb, pinfo, tree)
  local n, at, info = tvb:captured_len(), 0, {}
  pinfo.cols.protocol = "SockMux"
  while at < n do
    if not is_first(tvb(at, 1):uint()) then
      local secure = n - at >= 4 and tvb(at, 4):string() == "SMXS"
      tree:add(sockmux, tvb(at)):add_proto_expert_info(strange)
      info[#info + 1] = secure and "secure link: cannot be read" or "no packet of SockMux"
      at = n
      break
    end
    local length = n - at >= 8 and tvb(at + 6, 2):uint() or 0
    if n - at < 8 + length then
      if n < tvb:reported_len() or not pinfo.can_desegment or pinfo.can_desegment == 0 then
        info[#info + 1] = n - at >= 8 and one_packet(tvb, at, n, tree, nil) or "a part of a packet"
        break
      end
      pinfo.desegment_offset = at
      pinfo.desegment_len = n - at < 8 and DESEGMENT_ONE_MORE_SEGMENT or 8 + length - (n - at)
      break
    end
    info[#info + 1] = one_packet(tvb, at, n, tree, nil)
    at = at + 8 + length
  end
  if #info > 0 then pinfo.cols.info = table.concat(info, "; ") end
  return n
end

-- A packet of a dump.
function dump.dissector(tvb, pinfo, tree)
  local n = tvb:captured_len()
  if n < 16 or tvb(0, 1):uint() ~= 1 then return 0 end
  local sent = tvb(1, 1):uint() == 1
  local session = tvb(4, 4):uint()
  local branch = tree:add(dump, tvb(0, 8))
  branch:add(d.version, tvb(0, 1))
  branch:add(d.direction, tvb(1, 1))
  branch:add(d.dialect, tvb(2, 1))
  branch:add(d.session, tvb(4, 4))
  branch:append_text(", session " .. session .. (sent and ", sent" or ", received"))
  pinfo.cols.protocol = "SockMux"
  pinfo.cols.src = sent and "us" or "peer of " .. session
  pinfo.cols.dst = sent and "peer of " .. session or "us"
  pinfo.cols.info = one_packet(tvb, 8, n, tree, sent)
  return n
end

DissectorTable.get("wtap_encap"):add(wtap.USER0, dump)
DissectorTable.get("tcp.port"):add_for_decode_as(sockmux)
