-- What lives at one account: an upload under way, a file, a cache, an operation, a batch. The proxy writes these
-- rows when a provider's answer names what it made; later requests that name it go to that account and no other.
-- Deleting a row is fine (`credswap pin rm`): the name is then unknown, as if it had never been seen.

CREATE TABLE pin (
  id         INTEGER PRIMARY KEY AUTOINCREMENT, -- a running proxy reads what is above the last one it saw
  name       TEXT NOT NULL, -- 'files/abc', 'cachedContents/1', ...; of an upload a hash: its id is a key to it
  pool       TEXT NOT NULL REFERENCES pool (name) ON UPDATE CASCADE ON DELETE CASCADE, -- whose clients may use it
  account    TEXT NOT NULL REFERENCES account (name) ON UPDATE CASCADE ON DELETE CASCADE,
  client     TEXT NOT NULL DEFAULT '', -- who made it; for people
  domain     TEXT NOT NULL DEFAULT '', -- the host where it was made
  made_at    INTEGER NOT NULL DEFAULT (unixepoch()),
  expires_at INTEGER NOT NULL,
  UNIQUE (name, pool),
  CONSTRAINT "a pinned name is 1 to 255 printable ASCII characters without spaces"
    CHECK (length(name) BETWEEN 1 AND 255 AND name NOT GLOB '*[^!-~]*'),
  CONSTRAINT "a domain is a lower-case host name" CHECK (length(domain) <= 253 AND domain NOT GLOB '*[^a-z0-9.-]*')
) STRICT;
CREATE INDEX pin_account ON pin (account);
CREATE INDEX pin_pool ON pin (pool);

CREATE TABLE pin_change ( -- one row: counts what a look at new ids alone would miss
  id    INTEGER PRIMARY KEY CHECK (id = 1),
  value INTEGER NOT NULL
) STRICT;
INSERT INTO pin_change VALUES (1, 1);

-- Above 20,000 names the pool that has most loses its oldest: nobody's haste drives out what others have.
CREATE TRIGGER pin_bound AFTER INSERT ON pin WHEN new.id % 64 = 0 BEGIN
  DELETE FROM pin WHERE id IN (
    SELECT id FROM pin WHERE pool = (SELECT pool FROM pin GROUP BY pool ORDER BY count(*) DESC, pool LIMIT 1)
    ORDER BY id LIMIT max(0, (SELECT count(*) FROM pin) - 20000));
END;
CREATE TRIGGER pin_delete_counts AFTER DELETE ON pin BEGIN
  UPDATE pin_change SET value = value + 1;
END;
CREATE TRIGGER pin_update_counts AFTER UPDATE ON pin BEGIN
  UPDATE pin_change SET value = value + 1;
END;

-- for the sqlite3 shell, which has foreign keys off
CREATE TRIGGER pin_insert_known BEFORE INSERT ON pin BEGIN
  SELECT RAISE(ABORT, 'no such pool') WHERE NOT EXISTS (SELECT 1 FROM pool WHERE name = new.pool);
  SELECT RAISE(ABORT, 'no such account') WHERE NOT EXISTS (SELECT 1 FROM account WHERE name = new.account);
END;
CREATE TRIGGER pin_account_delete_follow AFTER DELETE ON account BEGIN
  DELETE FROM pin WHERE account = old.name;
END;
CREATE TRIGGER pin_account_rename_follow AFTER UPDATE OF name ON account WHEN old.name <> new.name BEGIN
  UPDATE pin SET account = new.name WHERE account = old.name;
END;
CREATE TRIGGER pin_pool_delete_follow AFTER DELETE ON pool BEGIN
  DELETE FROM pin WHERE pool = old.name;
END;
CREATE TRIGGER pin_pool_rename_follow AFTER UPDATE OF name ON pool WHEN old.name <> new.name BEGIN
  UPDATE pin SET pool = new.name WHERE pool = old.name;
END;
