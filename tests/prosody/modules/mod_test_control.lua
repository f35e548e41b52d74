-- For the tests: makes Prosody misbehave towards one account (JID = bare JID), by GET requests.
--   /test/control/close?jid=JID                 ends its streams
--   /test/control/close?jid=JID&on=NAMESPACE    ends its stream when the next IQ set with a payload in
--                                               that namespace arrives, which is then lost
--   /test/control/mute?jid=JID                  drops what it sends from now on, without an answer
--   /test/control/unmute?jid=JID
--   /test/control/stop?jid=JID&condition=NAME    ends its streams with that stream error
--   /test/control/hide?field=NAME               takes a field out of every owner form; none: no more
--   /test/control/sessions?jid=JID              how many streams it has
--   /test/control/rooms                         every room, with its lobby and who is inside
--   /test/control/asked?jid=JID                 how many stanzas it has sent, by what they ask
--   /test/control/traffic                       stanzas and bytes that came and went, on all streams
--   /test/control/members?is=on|off             makes plain token users members of members-only rooms as
--                                               they join, as a plugin inside Prosody would
local filters = require "util.filters"
local formdecode = require "util.http".formdecode
local jid = require "util.jid"
local json = require "util.json"

module:depends "http"

local muted, close_on, asked = {}, {}, {}
local traffic = { stanzas_in = 0, stanzas_out = 0, bytes_in = 0, bytes_out = 0 }

local function sessions_of(bare)
	local found = {}
	for _, session in pairs(prosody.full_sessions) do
		if session.username and jid.join(session.username, session.host) == bare then
			found[#found + 1] = session
		end
	end
	return found
end

local function cut(session)
	if session.conn then session.conn:close() end
end

filters.add_filter_hook(function(session)
	for _, direction in ipairs { "in", "out" } do
		filters.add_filter(session, "stanzas/" .. direction, function(stanza)
			traffic["stanzas_" .. direction] = traffic["stanzas_" .. direction] + 1
			return stanza
		end, -100)
		filters.add_filter(session, "bytes/" .. direction, function(data)
			traffic["bytes_" .. direction] = traffic["bytes_" .. direction] + (data and #data or 0)
			return data
		end, 100)
	end
	filters.add_filter(session, "stanzas/in", function(stanza)
		local bare = session.username and session.host and jid.join(session.username, session.host)
		if not bare then return stanza end
		if muted[bare] then return nil end
		if session.host ~= module.host then
			local payload = stanza.tags[1]
			local what = stanza.name .. " " .. (stanza.attr.type or "") .. " " .. (payload and payload.attr.xmlns or "")
			local counts = asked[bare] or {}
			asked[bare] = counts
			counts[what] = (counts[what] or 0) + 1
		end
		local payload = stanza.attr.type == "set" and stanza.tags[1]
		if payload and close_on[bare] and close_on[bare] == payload.attr.xmlns then
			close_on[bare] = nil
			cut(session)
			return nil
		end
		return stanza
	end, 100)
end)

local commands = {}

function commands.close(query)
	if query.on then
		close_on[query.jid] = query.on
		return 1
	end
	local found = sessions_of(query.jid)
	for _, session in ipairs(found) do cut(session) end
	return #found
end

function commands.stop(query)
	local found = sessions_of(query.jid)
	for _, session in ipairs(found) do
		session:close({ condition = query.condition, text = "said by the test" })
	end
	return #found
end

local hidden, is_hooked
local function hide(event)
	for i = #event.form, 1, -1 do
		if event.form[i].name == hidden then table.remove(event.form, i) end
	end
end

function commands.hide(query)
	hidden = query.field
	if not is_hooked then -- not before the room component is there
		module:context(module:get_option_string("main_muc")):hook("muc-config-form", hide, -1000)
		is_hooked = true
	end
	return true
end

local makes_members, is_member_maker
local function make_member(event)
	local session, room, bare = event.origin, event.room, jid.bare(event.stanza.attr.from)
	local context = session.meet_claims and session.meet_claims.context
		or { user = session.jitsi_meet_context_user, features = session.jitsi_meet_context_features }
	local has_token = session.meet_claims or session.auth_token
	local asks = (context.features or {}).lobby or (context.user or {}).lobby
	if not makes_members or not has_token or asks or not room:get_members_only() then return end
	if (room:get_affiliation(bare) or "none") == "none" then
		room:set_affiliation(true, bare, "member")
		event.occupant.role = "participant"
	end
end

function commands.members(query)
	makes_members = query.is == "on"
	if not is_member_maker then
		module:context(module:get_option_string("main_muc")):hook("muc-occupant-pre-join", make_member, 50)
		is_member_maker = true
	end
	return true
end

function commands.traffic() return traffic end
function commands.mute(query) muted[query.jid] = true return true end
function commands.unmute(query) muted[query.jid] = nil return true end
function commands.asked(query) return asked[query.jid] or {} end
function commands.sessions(query) return #sessions_of(query.jid) end

function commands.rooms()
	local rooms = {}
	for host, entry in pairs(prosody.hosts) do
		if entry.modules and entry.modules.muc then
			for room in entry.modules.muc.each_room() do
				local occupants = {}
				for nick in room:each_occupant() do occupants[#occupants + 1] = nick end
				rooms[room.jid] = {
					host = host, persistent = room:get_persistent() or false,
					members_only = room:get_members_only() or false, lobby = room._data.lobbyroom,
					occupants = occupants,
				}
			end
		end
	end
	return rooms
end

module:provides("http", {
	name = "test_control", default_path = "/test/control",
	route = { ["GET /*"] = function(event, name)
		local command = commands[name]
		if not command then return 404 end
		event.response.headers.content_type = "application/json"
		return json.encode({ result = command(formdecode(event.request.url.query or "") or {}) })
	end },
})
