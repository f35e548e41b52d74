-- On the room component: rooms are in no list, and only who is inside may ask what a room is
-- (wire fact 9).
local st = require "util.stanza"
local jid_bare = require "util.jid".bare

module:depends "muc"

module:hook("muc-room-pre-create", function(event) event.room:set_hidden(true) end, -1)

module:hook("iq-get/bare/http://jabber.org/protocol/disco#info:query", function(event)
	local stanza = event.stanza
	local room = prosody.hosts[module.host].modules.muc.get_room_from_jid(jid_bare(stanza.attr.to))
	if room and not room:get_occupant_by_real_jid(stanza.attr.from) then
		event.origin.send(st.error_reply(stanza, "auth", "forbidden"))
		return true
	end
end, 1)
