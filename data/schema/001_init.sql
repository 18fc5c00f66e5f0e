-- The tables of credswap, schema 1. What people type by hand is spelled in words: names instead of numbers,
-- 'up' instead of 1. Any SQLite client may edit the configuration tables; a running proxy follows within a second.
--
--   sqlite3 credswap.db "update pool_member set weight = 5 where account = 'a'"
--   sqlite3 credswap.db "update account set state = 'drain' where name = 'a'"
--
-- Times ending in _at are Unix seconds, those ending in _ms Unix milliseconds, 0 is never. Sealed columns are
-- AES-256-GCM under the master key and bound to their table, row and column: a copied row does not open.
-- The name of each CHECK is the sentence that whoever breaks it reads.

PRAGMA application_id = 0x43537770; -- "CSwp"

---------------------------------------------------------------------------------------------- configuration

CREATE TABLE generation ( -- one row; triggers count edits of the six tables below
  id         INTEGER PRIMARY KEY CHECK (id = 1),
  value      INTEGER NOT NULL,
  changed_at INTEGER NOT NULL
) STRICT;
INSERT INTO generation VALUES (1, 1, unixepoch());

CREATE TABLE pool (
  id   INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE,
  CONSTRAINT "a pool's name is 1 to 128 printable ASCII characters without , = quotes and backslash"
    CHECK (length(name) BETWEEN 1 AND 128 AND name = trim(name) AND name NOT GLOB '*[^ -~]*' AND name NOT GLOB '*[,="''\]*')
) STRICT;

CREATE TABLE account (
  id              INTEGER PRIMARY KEY AUTOINCREMENT, -- never used again: sealed values are bound to it
  name            TEXT NOT NULL UNIQUE,
  kind            TEXT NOT NULL,
  state           TEXT NOT NULL DEFAULT 'up',
  project         TEXT NOT NULL DEFAULT '',
  location        TEXT NOT NULL DEFAULT '',
  email           TEXT NOT NULL DEFAULT '',
  host            TEXT NOT NULL DEFAULT '', -- API key: the one host it may go to
  key_id          TEXT NOT NULL DEFAULT '',
  key_fingerprint TEXT NOT NULL DEFAULT '', -- first 8 hex digits of SHA-256
  key_sealed      BLOB,
  scope           TEXT NOT NULL DEFAULT 'https://www.googleapis.com/auth/cloud-platform https://www.googleapis.com/auth/generative-language.retriever',
  quota_project   TEXT NOT NULL DEFAULT '',
  token_uri       TEXT NOT NULL DEFAULT 'https://oauth2.googleapis.com/token',
  cleared_at_ms   INTEGER NOT NULL DEFAULT 0, -- cool-downs begun before no longer count
  created_at      INTEGER NOT NULL DEFAULT (unixepoch()),
  note            TEXT NOT NULL DEFAULT '',
  CONSTRAINT "an account's name is 1 to 128 printable ASCII characters without , = quotes and backslash"
    CHECK (length(name) BETWEEN 1 AND 128 AND name = trim(name) AND name NOT GLOB '*[^ -~]*' AND name NOT GLOB '*[,="''\]*'),
  CONSTRAINT "kind is service or api-key" CHECK (kind IN ('service', 'api-key')),
  CONSTRAINT "state is up, drain or off" CHECK (state IN ('up', 'drain', 'off')),
  CONSTRAINT "a project has letters, digits and . : _ - only"
    CHECK (length(project) <= 128 AND project NOT GLOB '*[^a-zA-Z0-9.:_-]*'),
  CONSTRAINT "a quota project has letters, digits and . : _ - only"
    CHECK (length(quota_project) <= 128 AND quota_project NOT GLOB '*[^a-zA-Z0-9.:_-]*'),
  CONSTRAINT "a location has lower-case letters, digits and - only"
    CHECK (length(location) <= 64 AND location NOT GLOB '*[^a-z0-9-]*'),
  CONSTRAINT "an email is printable ASCII without spaces" CHECK (length(email) <= 320 AND email NOT GLOB '*[^!-~]*'),
  CONSTRAINT "a host is a lower-case name" CHECK (length(host) <= 253 AND host NOT GLOB '*[^a-z0-9._-]*'),
  CONSTRAINT "an api-key account names its host" CHECK (kind <> 'api-key' OR host <> ''),
  CONSTRAINT "a key id is printable ASCII" CHECK (length(key_id) <= 128 AND key_id NOT GLOB '*[^!-~]*'),
  CONSTRAINT "a key fingerprint is 8 hex digits"
    CHECK (key_fingerprint = '' OR (length(key_fingerprint) = 8 AND key_fingerprint NOT GLOB '*[^0-9a-f]*')),
  CONSTRAINT "a scope is printable ASCII, words with spaces"
    CHECK (length(scope) BETWEEN 1 AND 2048 AND scope NOT GLOB '*[^ -~]*'),
  CONSTRAINT "a token URI begins with https:// or http://"
    CHECK (length(token_uri) <= 1024 AND token_uri NOT GLOB '*[^!-~]*'
           AND (token_uri GLOB 'https://?*' OR token_uri GLOB 'http://?*')),
  CONSTRAINT "cleared_at_ms is a time" CHECK (cleared_at_ms >= 0),
  CONSTRAINT "a note has 1000 characters at most" CHECK (length(note) <= 1000)
) STRICT;

CREATE TABLE pool_member (
  id      INTEGER PRIMARY KEY,
  pool    TEXT NOT NULL REFERENCES pool (name) ON UPDATE CASCADE ON DELETE CASCADE,
  account TEXT NOT NULL REFERENCES account (name) ON UPDATE CASCADE ON DELETE CASCADE,
  weight  REAL NOT NULL DEFAULT 1,
  UNIQUE (pool, account),
  CONSTRAINT "a weight is a number from 0 to 1000000000" CHECK (weight BETWEEN 0 AND 1e9)
) STRICT;
CREATE INDEX pool_member_account ON pool_member (account);

CREATE TABLE account_model ( -- no row: the account serves every model of its kind
  id      INTEGER PRIMARY KEY,
  account TEXT NOT NULL REFERENCES account (name) ON UPDATE CASCADE ON DELETE CASCADE,
  model   TEXT NOT NULL,            -- may hold *
  domain  TEXT NOT NULL DEFAULT '', -- '': the request's own host
  UNIQUE (account, model),
  CONSTRAINT "a model is 1 to 128 printable ASCII characters without spaces and commas"
    CHECK (length(model) BETWEEN 1 AND 128 AND model NOT GLOB '*[^!-~]*' AND model NOT GLOB '*,*'),
  CONSTRAINT "a domain is a lower-case host name" CHECK (length(domain) <= 253 AND domain NOT GLOB '*[^a-z0-9.-]*')
) STRICT;

CREATE TABLE client (
  id               INTEGER PRIMARY KEY AUTOINCREMENT,
  name             TEXT NOT NULL UNIQUE,
  service          TEXT NOT NULL,
  pool             TEXT NOT NULL REFERENCES pool (name) ON UPDATE CASCADE ON DELETE RESTRICT,
  state            TEXT NOT NULL DEFAULT 'on',
  expires_at       INTEGER NOT NULL DEFAULT 0,
  rpm              INTEGER NOT NULL DEFAULT 0, -- 0: no limit
  tokens_per_day   INTEGER NOT NULL DEFAULT 0, -- 0: no limit
  models           TEXT NOT NULL DEFAULT '',   -- patterns with commas; '' all
  placeholder_hash BLOB UNIQUE,                -- HMAC-SHA256 under the master key; NULL after a revocation
  visible          TEXT NOT NULL DEFAULT '',   -- 'gemini-7Kq': service and three characters of the placeholder
  sa_key_id        TEXT NOT NULL DEFAULT '',   -- virtual service account: its key's id and public half (PEM)
  sa_public_key    TEXT NOT NULL DEFAULT '',
  note             TEXT NOT NULL DEFAULT '',
  created_at       INTEGER NOT NULL DEFAULT (unixepoch()),
  last_seen_at     INTEGER NOT NULL DEFAULT 0, -- not configuration
  CONSTRAINT "a client's name is 1 to 128 printable ASCII characters without , = quotes and backslash"
    CHECK (length(name) BETWEEN 1 AND 128 AND name = trim(name) AND name NOT GLOB '*[^ -~]*' AND name NOT GLOB '*[,="''\]*'),
  CONSTRAINT "service is gemini or claude" CHECK (service IN ('gemini', 'claude')),
  CONSTRAINT "state is on or off" CHECK (state IN ('on', 'off')),
  CONSTRAINT "expires_at is a time" CHECK (expires_at >= 0),
  CONSTRAINT "rpm is a number from 0 on" CHECK (rpm >= 0),
  CONSTRAINT "tokens_per_day is a number from 0 on" CHECK (tokens_per_day >= 0),
  CONSTRAINT "models are printable ASCII patterns with commas" CHECK (length(models) <= 4096 AND models NOT GLOB '*[^ -~]*'),
  CONSTRAINT "a placeholder hash has 32 bytes" CHECK (placeholder_hash IS NULL OR length(placeholder_hash) = 32),
  CONSTRAINT "the visible part is short" CHECK (length(visible) <= 16 AND visible NOT GLOB '*[^!-~]*'),
  CONSTRAINT "a key id is printable ASCII" CHECK (length(sa_key_id) <= 128 AND sa_key_id NOT GLOB '*[^!-~]*'),
  CONSTRAINT "a public key has 8192 characters at most" CHECK (length(sa_public_key) <= 8192),
  CONSTRAINT "a note has 1000 characters at most" CHECK (length(note) <= 1000)
) STRICT;
CREATE INDEX client_pool ON client (pool);

CREATE TABLE host_rule ( -- the most specific pattern that matches decides
  id      INTEGER PRIMARY KEY,
  pattern TEXT NOT NULL UNIQUE, -- 'host', '*.domain', '*-suffix' or '*'
  action  TEXT NOT NULL,
  api     TEXT NOT NULL DEFAULT '',
  paths   TEXT NOT NULL DEFAULT '', -- globs with commas; '' what the API serves
  CONSTRAINT "a pattern is a lower-case host name, *.domain, *-suffix or *"
    CHECK (pattern = '*' OR (length(pattern) BETWEEN 1 AND 253 AND pattern NOT GLOB '*[^a-z0-9.:*_-]*'
           AND instr(substr(pattern, 2), '*') = 0 AND (pattern NOT GLOB '[*]*' OR pattern GLOB '[*][.-]?*'))),
  CONSTRAINT "action is swap, tunnel or deny" CHECK (action IN ('swap', 'tunnel', 'deny')),
  CONSTRAINT "api is gemini, vertex or anthropic for a swap, and empty otherwise"
    CHECK ((action = 'swap' AND api IN ('gemini', 'vertex', 'anthropic')) OR (action <> 'swap' AND api = '')),
  CONSTRAINT "not every host can be swapped" CHECK (action <> 'swap' OR pattern <> '*'),
  CONSTRAINT "paths are globs with commas that begin with / or *"
    CHECK (length(paths) <= 8192 AND paths NOT GLOB '*[^!-~]*' AND (paths = '' OR paths GLOB '[/*]*'))
) STRICT;

------------------------------------------------------------------------------------------------------- state

CREATE TABLE token (
  id          INTEGER PRIMARY KEY,
  account     TEXT NOT NULL REFERENCES account (name) ON UPDATE CASCADE ON DELETE CASCADE,
  scope       TEXT NOT NULL,
  expires_at  INTEGER NOT NULL DEFAULT 0,
  minted_at   INTEGER NOT NULL DEFAULT 0,
  mints       INTEGER NOT NULL DEFAULT 0,
  mint_ms     INTEGER NOT NULL DEFAULT 0, -- how long the last one took
  fails       INTEGER NOT NULL DEFAULT 0, -- failed mints in a row
  retry_at    INTEGER NOT NULL DEFAULT 0,
  last_error  TEXT NOT NULL DEFAULT '',
  fingerprint TEXT NOT NULL DEFAULT '',
  sealed      BLOB,
  UNIQUE (account, scope)
) STRICT;

CREATE TABLE cooldown (
  id       INTEGER PRIMARY KEY,
  account  TEXT NOT NULL REFERENCES account (name) ON UPDATE CASCADE ON DELETE CASCADE,
  model    TEXT NOT NULL DEFAULT '', -- '': the whole account
  since_ms INTEGER NOT NULL,
  until_ms INTEGER NOT NULL,
  until    INTEGER NOT NULL GENERATED ALWAYS AS ((until_ms + 999) / 1000) VIRTUAL, -- Unix seconds
  step     INTEGER NOT NULL DEFAULT 0, -- how often it doubled
  reason   TEXT NOT NULL DEFAULT '',
  UNIQUE (account, model)
) STRICT;

CREATE TABLE usage ( -- minute buckets; names as text, so that history outlives them
  minute             INTEGER NOT NULL, -- Unix seconds, a multiple of 60
  client             TEXT NOT NULL,
  account            TEXT NOT NULL,
  model              TEXT NOT NULL,
  requests           INTEGER NOT NULL DEFAULT 0,
  errors             INTEGER NOT NULL DEFAULT 0,
  limited            INTEGER NOT NULL DEFAULT 0, -- 429 and 529
  bytes_up           INTEGER NOT NULL DEFAULT 0,
  bytes_down         INTEGER NOT NULL DEFAULT 0,
  tokens_in          INTEGER NOT NULL DEFAULT 0,
  tokens_out         INTEGER NOT NULL DEFAULT 0,
  tokens_cache_read  INTEGER NOT NULL DEFAULT 0,
  tokens_cache_write INTEGER NOT NULL DEFAULT 0,
  ms                 INTEGER NOT NULL DEFAULT 0, -- sum of the requests' times
  PRIMARY KEY (minute, client, account, model)
) STRICT, WITHOUT ROWID;

CREATE TABLE request ( -- the last 10,000
  id                 INTEGER PRIMARY KEY,
  at_ms              INTEGER NOT NULL,
  request_id         TEXT NOT NULL,
  peer               TEXT NOT NULL DEFAULT '',
  client             TEXT NOT NULL DEFAULT '',
  account            TEXT NOT NULL DEFAULT '',
  tried              TEXT NOT NULL DEFAULT '', -- accounts before that one, with commas
  method             TEXT NOT NULL DEFAULT '',
  host               TEXT NOT NULL DEFAULT '',
  path               TEXT NOT NULL DEFAULT '', -- without its query
  model              TEXT NOT NULL DEFAULT '',
  front              TEXT NOT NULL DEFAULT '',
  back               TEXT NOT NULL DEFAULT '',
  status             INTEGER NOT NULL DEFAULT 0,
  attempts           INTEGER NOT NULL DEFAULT 0,
  reason             TEXT NOT NULL DEFAULT '',
  bytes_up           INTEGER NOT NULL DEFAULT 0,
  bytes_down         INTEGER NOT NULL DEFAULT 0,
  tokens_in          INTEGER NOT NULL DEFAULT 0,
  tokens_out         INTEGER NOT NULL DEFAULT 0,
  tokens_cache_read  INTEGER NOT NULL DEFAULT 0,
  tokens_cache_write INTEGER NOT NULL DEFAULT 0,
  ttfb_ms            INTEGER NOT NULL DEFAULT 0,
  ms                 INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TRIGGER request_bound AFTER INSERT ON request BEGIN
  DELETE FROM request WHERE id <= new.id - 10000;
END;

CREATE TABLE event ( -- audit and alarms; the last 10,000 of each kind, a few more between two cuts
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  at_ms      INTEGER NOT NULL,
  kind       TEXT NOT NULL CHECK (kind IN ('audit', 'alarm', 'info')),
  who        TEXT NOT NULL,
  what       TEXT NOT NULL,
  times      INTEGER NOT NULL DEFAULT 1,
  before     TEXT NOT NULL DEFAULT '', -- audit: JSON [{"table","id","row"}], never a secret
  after      TEXT NOT NULL DEFAULT '',
  generation INTEGER NOT NULL DEFAULT 0,
  undone_by  INTEGER NOT NULL DEFAULT 0,
  is_undo    INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX event_kind ON event (kind, id);
CREATE INDEX event_who ON event (kind, who, id);
CREATE TRIGGER event_bound AFTER INSERT ON event WHEN new.id % 64 = 0 BEGIN
  DELETE FROM event WHERE kind = 'audit'
    AND id <= (SELECT id FROM event WHERE kind = 'audit' ORDER BY id DESC LIMIT 1 OFFSET 10000);
  DELETE FROM event WHERE kind = 'alarm'
    AND id <= (SELECT id FROM event WHERE kind = 'alarm' ORDER BY id DESC LIMIT 1 OFFSET 10000);
  DELETE FROM event WHERE kind = 'info'
    AND id <= (SELECT id FROM event WHERE kind = 'info' ORDER BY id DESC LIMIT 1 OFFSET 10000);
END;

CREATE TABLE node ( -- the proxies on this store
  name       TEXT PRIMARY KEY,
  pid        INTEGER NOT NULL DEFAULT 0,
  version    TEXT NOT NULL DEFAULT '',
  state      TEXT NOT NULL DEFAULT '',
  address    TEXT NOT NULL DEFAULT '',
  started_at INTEGER NOT NULL DEFAULT 0,
  seen_at    INTEGER NOT NULL DEFAULT 0,
  generation INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

------------------------------------------------------------------------------------------------ from the start

INSERT INTO pool (name) VALUES ('gemini'), ('claude');
INSERT INTO host_rule (pattern, action, api) VALUES
  ('generativelanguage.googleapis.com', 'swap', 'gemini'),
  ('aiplatform.googleapis.com',         'swap', 'vertex'),
  ('*-aiplatform.googleapis.com',       'swap', 'vertex'),
  ('aiplatform.us.rep.googleapis.com',  'swap', 'vertex'),
  ('aiplatform.eu.rep.googleapis.com',  'swap', 'vertex'),
  ('api.anthropic.com',                 'swap', 'anthropic');

-------------------------------------------------------------------------------------------------- what follows
-- The sqlite3 shell has foreign keys off unless told otherwise; these triggers hold the references together for it.

CREATE TRIGGER pool_member_insert_known BEFORE INSERT ON pool_member BEGIN
  SELECT RAISE(ABORT, 'no such pool') WHERE NOT EXISTS (SELECT 1 FROM pool WHERE name = new.pool);
  SELECT RAISE(ABORT, 'no such account') WHERE NOT EXISTS (SELECT 1 FROM account WHERE name = new.account);
END;
CREATE TRIGGER pool_member_update_known BEFORE UPDATE OF pool, account ON pool_member BEGIN
  SELECT RAISE(ABORT, 'no such pool') WHERE NOT EXISTS (SELECT 1 FROM pool WHERE name = new.pool);
  SELECT RAISE(ABORT, 'no such account') WHERE NOT EXISTS (SELECT 1 FROM account WHERE name = new.account);
END;
CREATE TRIGGER account_model_insert_known BEFORE INSERT ON account_model BEGIN
  SELECT RAISE(ABORT, 'no such account') WHERE NOT EXISTS (SELECT 1 FROM account WHERE name = new.account);
END;
CREATE TRIGGER account_model_update_known BEFORE UPDATE OF account ON account_model BEGIN
  SELECT RAISE(ABORT, 'no such account') WHERE NOT EXISTS (SELECT 1 FROM account WHERE name = new.account);
END;
CREATE TRIGGER client_insert_known BEFORE INSERT ON client BEGIN
  SELECT RAISE(ABORT, 'no such pool') WHERE NOT EXISTS (SELECT 1 FROM pool WHERE name = new.pool);
END;
CREATE TRIGGER client_update_known BEFORE UPDATE OF pool ON client BEGIN
  SELECT RAISE(ABORT, 'no such pool') WHERE NOT EXISTS (SELECT 1 FROM pool WHERE name = new.pool);
END;
CREATE TRIGGER pool_delete_unused BEFORE DELETE ON pool BEGIN
  SELECT RAISE(ABORT, 'clients use this pool') WHERE EXISTS (SELECT 1 FROM client WHERE pool = old.name);
END;
CREATE TRIGGER pool_delete_follow AFTER DELETE ON pool BEGIN
  DELETE FROM pool_member WHERE pool = old.name;
END;
CREATE TRIGGER pool_rename_follow AFTER UPDATE OF name ON pool WHEN old.name <> new.name BEGIN
  UPDATE pool_member SET pool = new.name WHERE pool = old.name;
  UPDATE client SET pool = new.name WHERE pool = old.name;
END;
CREATE TRIGGER account_delete_follow AFTER DELETE ON account BEGIN
  DELETE FROM pool_member WHERE account = old.name;
  DELETE FROM account_model WHERE account = old.name;
  DELETE FROM token WHERE account = old.name;
  DELETE FROM cooldown WHERE account = old.name;
END;
CREATE TRIGGER account_rename_follow AFTER UPDATE OF name ON account WHEN old.name <> new.name BEGIN
  UPDATE pool_member SET account = new.name WHERE account = old.name;
  UPDATE account_model SET account = new.name WHERE account = old.name;
  UPDATE token SET account = new.name WHERE account = old.name;
  UPDATE cooldown SET account = new.name WHERE account = old.name;
END;

-- Each edit of the configuration counts; what the proxy itself writes down does not.

CREATE TRIGGER account_insert_counts AFTER INSERT ON account BEGIN
  UPDATE generation SET value = value + 1, changed_at = unixepoch();
END;
CREATE TRIGGER account_update_counts AFTER UPDATE ON account BEGIN
  UPDATE generation SET value = value + 1, changed_at = unixepoch();
END;
CREATE TRIGGER account_delete_counts AFTER DELETE ON account BEGIN
  UPDATE generation SET value = value + 1, changed_at = unixepoch();
END;
CREATE TRIGGER pool_insert_counts AFTER INSERT ON pool BEGIN
  UPDATE generation SET value = value + 1, changed_at = unixepoch();
END;
CREATE TRIGGER pool_update_counts AFTER UPDATE ON pool BEGIN
  UPDATE generation SET value = value + 1, changed_at = unixepoch();
END;
CREATE TRIGGER pool_delete_counts AFTER DELETE ON pool BEGIN
  UPDATE generation SET value = value + 1, changed_at = unixepoch();
END;
CREATE TRIGGER pool_member_insert_counts AFTER INSERT ON pool_member BEGIN
  UPDATE generation SET value = value + 1, changed_at = unixepoch();
END;
CREATE TRIGGER pool_member_update_counts AFTER UPDATE ON pool_member BEGIN
  UPDATE generation SET value = value + 1, changed_at = unixepoch();
END;
CREATE TRIGGER pool_member_delete_counts AFTER DELETE ON pool_member BEGIN
  UPDATE generation SET value = value + 1, changed_at = unixepoch();
END;
CREATE TRIGGER account_model_insert_counts AFTER INSERT ON account_model BEGIN
  UPDATE generation SET value = value + 1, changed_at = unixepoch();
END;
CREATE TRIGGER account_model_update_counts AFTER UPDATE ON account_model BEGIN
  UPDATE generation SET value = value + 1, changed_at = unixepoch();
END;
CREATE TRIGGER account_model_delete_counts AFTER DELETE ON account_model BEGIN
  UPDATE generation SET value = value + 1, changed_at = unixepoch();
END;
CREATE TRIGGER client_insert_counts AFTER INSERT ON client BEGIN
  UPDATE generation SET value = value + 1, changed_at = unixepoch();
END;
CREATE TRIGGER client_update_counts AFTER UPDATE OF name, service, pool, state, expires_at, rpm, tokens_per_day, models,
    placeholder_hash, visible, sa_key_id, sa_public_key, note, created_at ON client BEGIN
  UPDATE generation SET value = value + 1, changed_at = unixepoch();
END;
CREATE TRIGGER client_delete_counts AFTER DELETE ON client BEGIN
  UPDATE generation SET value = value + 1, changed_at = unixepoch();
END;
CREATE TRIGGER host_rule_insert_counts AFTER INSERT ON host_rule BEGIN
  UPDATE generation SET value = value + 1, changed_at = unixepoch();
END;
CREATE TRIGGER host_rule_update_counts AFTER UPDATE ON host_rule BEGIN
  UPDATE generation SET value = value + 1, changed_at = unixepoch();
END;
CREATE TRIGGER host_rule_delete_counts AFTER DELETE ON host_rule BEGIN
  UPDATE generation SET value = value + 1, changed_at = unixepoch();
END;
