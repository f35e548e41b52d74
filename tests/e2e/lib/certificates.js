// One development CA for a whole run of the suite (run.sh names the folder), else for this process.
'use strict';
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const script = path.resolve(__dirname, '../../../certs/make-dev-ca.sh');
let folder;

// {ca, certificate, key}: file names; the certificate is good for domain, localhost and 127.0.0.1.
function certificates(domain) {
  if (!folder) {
    folder = process.env.E2E_CERTIFICATES;
    if (!folder) {
      folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vestibule-ca-'));
      process.on('exit', () => fs.rmSync(folder, { recursive: true, force: true }));
    }
  }
  execFileSync(script, [folder, domain], { stdio: ['ignore', 'ignore', 'inherit'] });
  return {
    ca: path.join(folder, 'ca.crt'),
    certificate: path.join(folder, `${domain}.crt`),
    key: path.join(folder, `${domain}.key`),
  };
}

module.exports = { certificates };
