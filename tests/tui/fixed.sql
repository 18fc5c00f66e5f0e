-- The store of the golden screens: a middling house at :NOW, with something of everything that a screen may say.

INSERT INTO pool (name) VALUES ('nightly');
INSERT INTO account (name, kind, state, project, location, email, host, key_id, key_fingerprint, created_at, note) VALUES
  ('sa-prod-1', 'service', 'up',    'acme-prod-1', 'us-central1', 'credswap@acme-prod-1.iam.gserviceaccount.com', '', 'k1a2b3', '1f2e3d4c', :NOW - 8640000, ''),
  ('sa-prod-2', 'service', 'up',    'acme-prod-2', 'us-central1', 'credswap@acme-prod-2.iam.gserviceaccount.com', '', 'k2a2b3', '2f2e3d4c', :NOW - 8640000, ''),
  ('sa-prod-3', 'service', 'up',    'acme-prod-3', '',            'credswap@acme-prod-3.iam.gserviceaccount.com', '', 'k3a2b3', '3f2e3d4c', :NOW - 8640000, 'quota raised in October'),
  ('sa-dev-1',  'service', 'up',    'acme-dev',    '',            'credswap@acme-dev.iam.gserviceaccount.com',    '', 'k4a2b3', '4f2e3d4c', :NOW - 864000, ''),
  ('sa-dev-2',  'service', 'drain', 'acme-dev',    '',            'second@acme-dev.iam.gserviceaccount.com',      '', 'k5a2b3', '5f2e3d4c', :NOW - 864000, ''),
  ('sa-eu-9',   'service', 'up',    'acme-eu',     'europe-west4', 'credswap@acme-eu.iam.gserviceaccount.com',    '', 'k6a2b3', '6f2e3d4c', :NOW - 86400, ''),
  ('claude-key', 'api-key', 'up',   '',            '',            '', 'api.anthropic.com', '', '7f2e3d4c', :NOW - 8640000, ''),
  ('sa-old',    'service', 'off',   'acme-old',    '',            'credswap@acme-old.iam.gserviceaccount.com',    '', 'k8a2b3', '8f2e3d4c', :NOW - 17280000, 'to be removed in December');
INSERT INTO pool_member (pool, account, weight) VALUES
  ('gemini', 'sa-prod-1', 50), ('gemini', 'sa-prod-2', 30), ('gemini', 'sa-prod-3', 30), ('gemini', 'sa-dev-1', 20),
  ('gemini', 'sa-dev-2', 10), ('gemini', 'sa-eu-9', 10),
  ('claude', 'claude-key', 3), ('claude', 'sa-prod-1', 1), ('claude', 'sa-old', 1),
  ('nightly', 'sa-dev-1', 1), ('nightly', 'sa-dev-2', 0.5);
INSERT INTO account_model (account, model, domain) VALUES
  ('sa-eu-9', 'gemini-2.5-pro', 'europe-west4-aiplatform.googleapis.com'), ('sa-eu-9', 'gemini-2.5-flash', ''),
  ('claude-key', 'claude-*', '');
INSERT INTO client (name, service, pool, state, expires_at, rpm, tokens_per_day, models, placeholder_hash, visible, note, created_at, last_seen_at) VALUES
  ('alice',   'gemini', 'gemini',  'on',  0,              600, 0,        '',                 randomblob(32), 'gemini-7Kq', 'search team', :NOW - 7776000, :NOW - 1),
  ('bob',     'claude', 'claude',  'on',  0,              0,   5000000,  '',                 randomblob(32), 'claude-Zt4', '',            :NOW - 7776000, :NOW - 12),
  ('carol',   'gemini', 'gemini',  'on',  :NOW + 259200,  60,  1000000,  'gemini-2.5-flash', randomblob(32), 'gemini-b0x', 'leaves on Thursday', :NOW - 86400, :NOW - 86000),
  ('dave',    'gemini', 'gemini',  'off', 0,              0,   0,        '',                 randomblob(32), 'gemini-Q9a', '',            :NOW - 7776000, :NOW - 1000000),
  ('erin',    'gemini', 'gemini',  'on',  :NOW - 3600,    0,   0,        '',                 randomblob(32), 'gemini-rr1', '',            :NOW - 7776000, :NOW - 3700),
  ('nightly', 'gemini', 'nightly', 'on',  0,              0,   10000000, '',                 randomblob(32), 'gemini-N1t', 'batch jobs',  :NOW - 7776000, :NOW - 40000),
  ('old-ci',  'claude', 'claude',  'on',  0,              0,   0,        '',                 NULL,                  '',           '',            :NOW - 9999999, 0);
INSERT INTO host_rule (pattern, action, api, paths) VALUES
  ('*.github.com', 'tunnel', '', ''), ('oauth2.googleapis.com', 'tunnel', '', ''), ('*.tracker.example', 'deny', '', ''),
  ('batch.googleapis.com', 'swap', 'vertex', '/v1/projects/*');

INSERT INTO token (account, scope, expires_at, minted_at, mints, mint_ms, fails, retry_at, last_error, fingerprint)
  SELECT name, scope, :NOW + 2460, :NOW - 1140, 91, 212, 0, 0, '', 'a1b2c3d4' FROM account WHERE name = 'sa-prod-1' UNION ALL
  SELECT name, scope, :NOW + 720, :NOW - 2880, 90, 187, 0, 0, '', 'b1b2c3d4' FROM account WHERE name = 'sa-prod-2' UNION ALL
  SELECT name, scope, :NOW + 3300, :NOW - 300, 88, 340, 0, 0, '', 'c1b2c3d4' FROM account WHERE name = 'sa-prod-3' UNION ALL
  SELECT name, scope, :NOW + 420, :NOW - 3180, 12, 250, 0, 0, '', 'd1b2c3d4' FROM account WHERE name = 'sa-dev-1' UNION ALL
  SELECT name, scope, :NOW + 1980, :NOW - 1620, 12, 251, 0, 0, '', 'e1b2c3d4' FROM account WHERE name = 'sa-dev-2' UNION ALL
  SELECT name, scope, 0, :NOW - 90000, 3, 260, 4, :NOW + 47, 'invalid_grant: Invalid JWT Signature.', '' FROM account WHERE name = 'sa-eu-9';
UPDATE token SET sealed = randomblob(64) WHERE fails = 0;
INSERT INTO cooldown (account, model, since_ms, until_ms, step, reason) VALUES
  ('sa-prod-3', '', (:NOW - 22) * 1000, (:NOW + 38) * 1000, 1, '429'),
  ('sa-prod-2', 'gemini-2.5-pro', (:NOW - 10) * 1000, (:NOW + 20) * 1000, 0, '429');

WITH RECURSIVE back(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM back WHERE n < 9),
  share(client, account, model, k) AS (VALUES ('alice', 'sa-prod-1', 'gemini-2.5-pro', 96), ('alice', 'sa-prod-2', 'gemini-2.5-pro', 58),
    ('alice', 'sa-dev-1', 'gemini-2.5-flash', 38), ('bob', 'claude-key', 'claude-haiku-4-5', 31), ('bob', 'sa-prod-1', 'claude-haiku-4-5', 9),
    ('nightly', 'sa-dev-1', 'gemini-2.5-flash', 4))
INSERT INTO usage (minute, client, account, model, requests, errors, limited, bytes_up, bytes_down, tokens_in, tokens_out, ms)
  SELECT :NOW - :NOW % 60 - 60 * n, client, account, model, k + n, (k + n) / 40, (k + n) / 50, k * 900, k * 4000, k * 220, k * 140, k * 800
  FROM back, share;

WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60)
INSERT INTO request (id, at_ms, request_id, peer, client, account, tried, method, host, path, model, front, back, status, attempts,
    reason, bytes_up, bytes_down, tokens_in, tokens_out, ttfb_ms, ms)
  SELECT i, (:NOW - 3 * (60 - i)) * 1000 - 400, printf('0192f3a0-%04d', i), '10.8.2.' || (i % 5 + 11) || ':' || (51000 + i),
    CASE i % 3 WHEN 0 THEN 'bob' ELSE 'alice' END, CASE WHEN i % 3 = 0 THEN 'claude-key' WHEN i % 7 = 0 THEN 'sa-prod-2' ELSE 'sa-prod-1' END,
    CASE WHEN i % 7 = 0 THEN 'sa-prod-3' ELSE '' END, 'POST',
    CASE i % 3 WHEN 0 THEN 'api.anthropic.com' ELSE 'us-central1-aiplatform.googleapis.com' END,
    CASE i % 3 WHEN 0 THEN '/v1/messages' ELSE '/v1/projects/acme/locations/us-central1/publishers/google/models/gemini-2.5-pro:streamGenerateContent' END,
    CASE i % 3 WHEN 0 THEN 'claude-haiku-4-5' ELSE 'gemini-2.5-pro' END, 'h2', 'h1',
    CASE WHEN i % 20 = 0 THEN 503 WHEN i % 13 = 0 THEN 429 ELSE 200 END, CASE WHEN i % 7 = 0 THEN 2 ELSE 1 END,
    CASE WHEN i % 20 = 0 THEN 'none_left' WHEN i % 13 = 0 THEN 'none_left' ELSE '' END, 700 + i, 12000 + 37 * i, 300 + i, 900 - i, 300 + 11 * i, 900 + 41 * i
  FROM n;

DELETE FROM event;
INSERT INTO event (at_ms, kind, who, what, times, before, after, generation, undone_by, is_undo) VALUES
  ((:NOW - 90000) * 1000, 'audit', 'joe (uid 1002)', 'account sa-dev-2 drain', 1,
    '[{"table":"account","id":5,"row":{"id":5,"name":"sa-dev-2","state":"up"}}]', '[{"table":"account","id":5,"row":{"id":5,"name":"sa-dev-2","state":"drain"}}]', 211, 0, 0),
  ((:NOW - 21600) * 1000, 'info', 'credswapd', 'configuration read again: 2 rules changed, 118 connections kept', 1, '', '', 0, 0, 0),
  ((:NOW - 17949) * 1000, 'audit', 'joe (uid 1002)', 'client dave off', 1,
    '[{"table":"client","id":4,"row":{"id":4,"name":"dave","state":"on"}}]', '[{"table":"client","id":4,"row":{"id":4,"name":"dave","state":"off"}}]', 212, 0, 0),
  ((:NOW - 7351) * 1000, 'audit', 'system', 'backup credswap-20261123T1200.db', 1, '', '', 0, 0, 0),
  ((:NOW - 1339) * 1000, 'alarm', 'carol', '10.8.3.41 refuses our certificate: unknown ca', 7, '', '', 0, 0, 0),
  ((:NOW - 290) * 1000, 'alarm', 'sa-eu-9', 'mint failed: invalid_grant: Invalid JWT Signature.', 4, '', '', 0, 0, 0),
  ((:NOW - 41) * 1000, 'alarm', 'nightly', 'daily limit reached: 10000000 tokens', 1, '', '', 0, 0, 0),
  ((:NOW - 20) * 1000, 'audit', 'mia (uid 1001)', 'gemini: sa-prod-1 70 -> 50', 1,
    '[{"table":"pool_member","id":1,"row":{"id":1,"pool":"gemini","account":"sa-prod-1","weight":70.0}}]',
    '[{"table":"pool_member","id":1,"row":{"id":1,"pool":"gemini","account":"sa-prod-1","weight":50.0}}]', 214, 0, 0);
INSERT INTO node (name, pid, version, state, address, started_at, seen_at, generation) VALUES
  ('prod-eu-1', 4711, '0.1.0', 'running', '10.8.0.1:3128', :NOW - 273600, :NOW - 1, 214),
  ('prod-eu-2', 4712, '0.1.0', 'running', '10.8.0.2:3128', :NOW - 259200, :NOW - 2, 213),
  ('prod-us-1', 388, '0.1.0', 'draining', '10.9.0.1:3128', :NOW - 864000, :NOW - 700, 209);
UPDATE generation SET value = 214, changed_at = :NOW - 20;
