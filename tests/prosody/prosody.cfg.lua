-- The Prosody of the end-to-end tests, the demo and docker-compose.yml: a Jitsi Meet deployment's
-- XMPP side, with the project's own stand-ins for Jitsi's modules (modules/), or with the real ones
-- where JITSI_PLUGINS names their folder. Everything that differs comes from the environment; what
-- has no default here must be set.
--
-- A global that is set is an option and cannot be read back, so whatever is used twice is a local.

local domain = ENV_XMPP_DOMAIN or "meet.example.com"
local muc, lobby, auth = "conference." .. domain, "lobby." .. domain, "auth." .. domain
local jitsi = ENV_JITSI_PLUGINS ~= "" and ENV_JITSI_PLUGINS or nil
local function port(value) return value and value ~= "" and { tonumber(value) } or {} end
local function list(value)
	local items = {}
	for item in (value or ""):gmatch("[^,%s]+") do items[#items + 1] = item end
	return items
end

-- Process
run_as_root = true -- in a container or a test there is nobody else
data_path = ENV_PROSODY_DATA
certificates = ENV_PROSODY_DATA -- none are read from there, but a folder it must be
pidfile = ENV_PROSODY_DATA .. "/prosody.pid"
plugin_paths = jitsi and { jitsi, ENV_PROSODY_MODULES } or { ENV_PROSODY_MODULES }
storage = "memory"
log = { { levels = { min = ENV_PROSODY_LOG or "info" }, to = "console" } }
admins = {
	"focus@" .. auth, "jvb@" .. auth,
	ENV_SERVICE_ADMIN ~= "false" and ("vestibule@" .. auth) or nil,
}

-- Network: WebSockets and BOSH over HTTP, nothing else.
local interfaces_of_http = { ENV_PROSODY_INTERFACE or "127.0.0.1" }
http_interfaces, https_interfaces = interfaces_of_http, interfaces_of_http
http_ports, https_ports = port(ENV_PROSODY_HTTP_PORT), port(ENV_PROSODY_HTTPS_PORT)
https_certificate = ENV_PROSODY_CERTIFICATE
https_ssl = ENV_PROSODY_CERTIFICATE and {
	certificate = ENV_PROSODY_CERTIFICATE, key = ENV_PROSODY_KEY,
} or nil
c2s_ports, s2s_ports, component_ports = {}, {}, {}
-- How much is read of a connection at once, 4096 bytes if nothing is said.
network_default_read_size = tonumber(ENV_PROSODY_READ_SIZE or "")
network_settings = ENV_PROSODY_BACKLOG and { tcp_backlog = tonumber(ENV_PROSODY_BACKLOG) } or nil -- 128 else
http_default_host = domain
consider_websocket_secure, consider_bosh_secure = true, true
c2s_require_encryption, s2s_secure_auth = false, false
trusted_proxies = { "127.0.0.1", "::1" }

-- Tokens
local application = ENV_JWT_APP_ID or "myapp"
app_id, app_secret = application, ENV_JWT_APP_SECRET
-- Public keys: from a server by Jitsi's module, from the same files in a folder by the stand-in.
asap_key_server = ENV_JWT_ASAP_KEYSERVER ~= "" and ENV_JWT_ASAP_KEYSERVER or nil
cache_keys_url = ENV_JWT_CACHE_KEYS_URL ~= "" and ENV_JWT_CACHE_KEYS_URL or nil
meet_token_keys = ENV_MEET_TOKEN_KEYS ~= "" and ENV_MEET_TOKEN_KEYS or nil
signature_algorithm = ENV_JWT_SIGN_TYPE ~= "" and ENV_JWT_SIGN_TYPE or nil
allow_empty_token = true -- guests
asap_accepted_issuers, asap_accepted_audiences = { application }, list(ENV_JWT_ACCEPTED_AUDIENCES or "*")
enable_domain_verification = true

-- Conferences
main_muc, lobby_muc = muc, lobby
muc_mapper_domain_base, muc_mapper_domain_prefix = domain, "conference"
muc_component = muc
smacks_hibernation_time = tonumber(ENV_SMACKS_HIBERNATION or "60")
smacks_max_unacked_stanzas = 5
smacks_max_hibernated_sessions, smacks_max_old_sessions = 1, 1
-- C2S_RATE slows every stream down, the service account's too, which is not in unlimited_jids then.
local rate = ENV_C2S_RATE ~= "" and ENV_C2S_RATE or nil
unlimited_jids = { "focus@" .. auth, "jvb@" .. auth, not rate and ("vestibule@" .. auth) or nil }
limits = rate and { c2s = { rate = rate } }

modules_enabled = { "saslauth", "disco", "ping", "posix", "http", "websocket", "bosh", "smacks", "roster", rate and "limits" or nil }
modules_disabled = { "s2s", "offline", "c2s_legacy", "tls" }

local host_modules, muc_modules, authentication_module
if jitsi then
	-- lua-basexx and lua-inspect are packaged for older Luas only; they run on 5.4 as they are.
	package.path = package.path .. ";/usr/share/lua/5.3/?.lua;/usr/share/lua/5.2/?.lua"
	authentication_module = "token"
	host_modules = {
		"features_identity", "conference_duration",
		ENV_PROSODY_WITHOUT ~= "muc_lobby_rooms" and "muc_lobby_rooms" or nil,
	}
	muc_modules = {
		"muc_hide_all", "token_verification", "muc_domain_mapper", "muc_password_whitelist",
		ENV_PROSODY_WITHOUT ~= "muc_meeting_id" and "muc_meeting_id" or nil,
	}
else
	authentication_module = "meet_token"
	host_modules = { "meet_tenants" }
	muc_modules = {
		"meet_hidden_rooms", "meet_token_rooms",
		ENV_PROSODY_WITHOUT ~= "muc_lobby_rooms" and "meet_lobby" or nil,
	}
end
local test_modules = list(ENV_PROSODY_TEST_MODULES)
for _, name in ipairs(test_modules) do host_modules[#host_modules + 1] = name end

VirtualHost(domain)
	authentication = authentication_module
	modules_enabled = host_modules
	shard = ENV_SHARD

VirtualHost(auth)
	authentication = "internal_hashed"
	modules_enabled = { "meet_accounts", jitsi and "limits_exception" or nil }
	meet_accounts = {
		vestibule = ENV_SERVICE_PASSWORD, focus = ENV_FOCUS_PASSWORD, jvb = ENV_JVB_AUTH_PASSWORD,
	}

Component(muc) "muc"
	modules_enabled = muc_modules
	restrict_room_creation = true
	component_admins_as_room_owners = true
	muc_room_locking = false
	muc_room_default_public_jids = true
	muc_room_cache_size = 10000
	muc_tombstones = false

Component(lobby) "muc"
	restrict_room_creation = true
	muc_room_locking = false
	muc_room_default_public_jids = true
	muc_tombstones = false

if jitsi then
	Component("metadata." .. domain) "room_metadata_component"
		muc_component = muc
		breakout_rooms_component = "breakout." .. domain
end
