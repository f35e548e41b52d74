-- Makes the accounts of the option meet_accounts (name = password) when the host starts: with storage
-- in memory prosodyctl has nothing to write them to.
local usermanager = require "core.usermanager"

for name, password in pairs(module:get_option("meet_accounts", {})) do
	local ok, err = usermanager.create_user(name, password, module.host)
	if not ok then module:log("error", "no account %s@%s: %s", name, module.host, err) end
end
