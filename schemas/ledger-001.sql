-- The ledger, version 1. Amounts are integers: millisatoshi, or millionths of a dollar. Times end in _ms (unix
-- milliseconds) or _s (unix seconds). No CHECK enumerates protocols, rails or currencies: a new one needs no migration.

CREATE TABLE meta(
  key   TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE session(
  session_id TEXT PRIMARY KEY,
  principal  TEXT NOT NULL,
  key        TEXT NOT NULL,                -- BURSAR_SESSION, CLAUDE_CODE_SESSION_ID, or ''
  started_ms INTEGER NOT NULL,
  last_ms    INTEGER NOT NULL,
  ended_ms   INTEGER
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX session_running ON session(principal, key) WHERE ended_ms IS NULL;
CREATE INDEX session_time ON session(principal, started_ms);

-- ── budgets ─────────────────────────────────────────────────────────────────────────────────────────────────────────

CREATE TABLE budget(
  budget_id      INTEGER PRIMARY KEY,
  scope          TEXT NOT NULL,            -- purchase, session, day, host, total
  subject        TEXT NOT NULL,            -- the session's id, the host, or ''
  principal      TEXT NOT NULL,            -- '' where it bounds all principals together
  currency       TEXT NOT NULL,
  limit_atomic   INTEGER NOT NULL CHECK(limit_atomic BETWEEN 0 AND 4611686018427387903),
  ceiling_atomic INTEGER NOT NULL,         -- from the operator's config; no tool can write it
  set_by         TEXT NOT NULL CHECK(set_by IN('operator','human','model')),
  CHECK(limit_atomic <= ceiling_atomic),
  UNIQUE(scope, subject, currency, principal)
) STRICT;

CREATE TABLE budget_window(
  budget_id    INTEGER NOT NULL REFERENCES budget,
  win          INTEGER NOT NULL,           -- the UTC day's number for scope day, else 0
  limit_atomic INTEGER NOT NULL,
  reserved     INTEGER NOT NULL DEFAULT 0 CHECK(reserved >= 0),
  spent        INTEGER NOT NULL DEFAULT 0 CHECK(spent >= 0),
  overrun      INTEGER NOT NULL DEFAULT 0 CHECK(overrun >= 0),  -- money that left beyond its hold: outside the CHECK,
  PRIMARY KEY(budget_id, win),                                  -- since the truth is always recorded
  CHECK(spent + reserved <= limit_atomic)
) STRICT, WITHOUT ROWID;

-- ── purchases ───────────────────────────────────────────────────────────────────────────────────────────────────────

CREATE TABLE transition(
  a TEXT NOT NULL,
  b TEXT NOT NULL,
  PRIMARY KEY(a, b)
) STRICT, WITHOUT ROWID;
INSERT INTO transition VALUES
  ('awaiting_approval','paying'), ('awaiting_approval','failed'),
  ('paying','paid'), ('paying','unknown'), ('paying','failed'),
  ('unknown','paid'), ('unknown','failed'),
  ('failed','late'),
  ('paid','delivered'), ('paid','undelivered'), ('undelivered','delivered');

CREATE TABLE purchase(
  purchase_id  TEXT PRIMARY KEY CHECK(length(purchase_id) = 28 AND substr(purchase_id, 1, 2) = 'p_'),
  principal    TEXT NOT NULL,
  session_id   TEXT NOT NULL REFERENCES session,
  idem_key     TEXT NOT NULL,
  generation   INTEGER NOT NULL CHECK(generation >= 0),
  request_hash TEXT NOT NULL,
  method       TEXT NOT NULL,
  origin       TEXT NOT NULL,
  host         TEXT NOT NULL,
  path         TEXT NOT NULL,              -- without the query
  request      BLOB NOT NULL,              -- the whole request, to be sent again byte for byte
  purpose      TEXT NOT NULL,
  max_price    TEXT NOT NULL,              -- what the caller was ready to pay, or ''
  chosen_why   TEXT NOT NULL,
  state        TEXT NOT NULL,
  note         TEXT NOT NULL,              -- why it stands where it stands, for people
  http_status  INTEGER,
  result_sha256 TEXT,
  result_size  INTEGER,
  approved_ms  INTEGER,
  created_ms   INTEGER NOT NULL,
  updated_ms   INTEGER NOT NULL,
  answered_ms  INTEGER,                    -- when the answer was handed to a call that was still there
  UNIQUE(principal, idem_key, generation)
) STRICT;
CREATE UNIQUE INDEX one_live ON purchase(principal, idem_key)
  WHERE state NOT IN('failed','late') AND answered_ms IS NULL;
CREATE INDEX purchase_open ON purchase(state) WHERE state IN('awaiting_approval','paying','unknown');
CREATE INDEX purchase_session ON purchase(session_id, created_ms);
CREATE INDEX purchase_origin ON purchase(origin, state);
CREATE INDEX purchase_time ON purchase(created_ms);

CREATE TABLE intent(
  purchase_id     TEXT NOT NULL REFERENCES purchase,
  n               INTEGER NOT NULL CHECK(n >= 0),
  protocol        TEXT NOT NULL,
  rail            TEXT NOT NULL,
  network         TEXT NOT NULL,
  asset           TEXT NOT NULL,
  payee           TEXT NOT NULL,
  rail_key        TEXT NOT NULL UNIQUE,    -- one payment hash, one nonce: one intent, for ever
  wallet          TEXT NOT NULL,
  currency        TEXT NOT NULL,
  amount          INTEGER NOT NULL CHECK(amount BETWEEN 1 AND 4611686018427387903),
  fee_cap         INTEGER NOT NULL CHECK(fee_cap >= 0),
  liability_until_s INTEGER NOT NULL,
  resend_until_s  INTEGER NOT NULL,
  bytes           BLOB NOT NULL,           -- secret: the challenge's token, and what the wallet sends
  state           TEXT NOT NULL CHECK(state IN('pinned','live','settled','void','late')),
  spent           INTEGER NOT NULL DEFAULT 0 CHECK(spent >= 0),
  fee             INTEGER NOT NULL DEFAULT 0 CHECK(fee >= 0),
  proof           BLOB,                    -- secret: what shows that we paid
  settled_ms      INTEGER,
  PRIMARY KEY(purchase_id, n),
  CHECK(state NOT IN('settled','late') OR proof IS NOT NULL)
) STRICT, WITHOUT ROWID;

CREATE TABLE hold(
  purchase_id TEXT NOT NULL,
  n           INTEGER NOT NULL,
  budget_id   INTEGER NOT NULL,
  win         INTEGER NOT NULL,
  amount      INTEGER NOT NULL CHECK(amount > 0),
  open        INTEGER NOT NULL DEFAULT 1 CHECK(open IN(0,1)),
  PRIMARY KEY(purchase_id, n, budget_id),
  FOREIGN KEY(purchase_id, n) REFERENCES intent,
  FOREIGN KEY(budget_id, win) REFERENCES budget_window
) STRICT, WITHOUT ROWID;
CREATE INDEX hold_open ON hold(budget_id, win) WHERE open = 1;

-- Money that came back. It restores total budgets, never the room of a day or a session.
CREATE TABLE credit(
  credit_id   INTEGER PRIMARY KEY,
  purchase_id TEXT NOT NULL REFERENCES purchase,
  principal   TEXT NOT NULL,
  currency    TEXT NOT NULL,
  amount      INTEGER NOT NULL CHECK(amount > 0),
  proof       BLOB NOT NULL,
  at_ms       INTEGER NOT NULL
) STRICT;

-- Who drives an unfinished purchase, and what looking it up has shown so far. Not money: outside the journal.
CREATE TABLE driver(
  purchase_id  TEXT PRIMARY KEY REFERENCES purchase,
  owner        TEXT NOT NULL,              -- the name of a lock file; a lock that can be taken means a dead owner
  absent_ms    INTEGER,                    -- the first of a row of equal answers that the payment did not happen
  looked_ms    INTEGER
) STRICT, WITHOUT ROWID;

-- ── what purchases leave behind ─────────────────────────────────────────────────────────────────────────────────────

CREATE TABLE credential(
  credential_id INTEGER PRIMARY KEY,
  principal   TEXT NOT NULL,
  origin      TEXT NOT NULL,               -- scheme, host, port: it never leaves it
  protocol    TEXT NOT NULL,
  purchase_id TEXT NOT NULL UNIQUE REFERENCES purchase,
  body        BLOB NOT NULL,               -- secret
  proof       BLOB NOT NULL,               -- secret
  state       TEXT NOT NULL CHECK(state IN('own','usable','spent')),  -- own: only for its own purchase
  expires_s   INTEGER,
  created_ms  INTEGER NOT NULL
) STRICT;
CREATE INDEX credential_origin ON credential(principal, origin, state);

CREATE TABLE credential_path(
  credential_id INTEGER NOT NULL REFERENCES credential,
  path       TEXT NOT NULL,
  verdict    TEXT NOT NULL CHECK(verdict IN('accepted','rejected')),
  at_ms      INTEGER NOT NULL,
  PRIMARY KEY(credential_id, path)
) STRICT, WITHOUT ROWID;

-- Answers that can be read again, free of charge. Bodies are files in results/, named by result_id.
CREATE TABLE result(
  result_id    TEXT PRIMARY KEY,           -- the purchase's id, or r_ and 26 characters for what was free
  principal    TEXT NOT NULL,
  session_id   TEXT NOT NULL,
  purchase_id  TEXT REFERENCES purchase,
  url          TEXT NOT NULL,
  status       INTEGER NOT NULL,
  content_type TEXT NOT NULL,
  size         INTEGER NOT NULL,
  sha256       TEXT NOT NULL,
  cut          INTEGER NOT NULL,
  created_ms   INTEGER NOT NULL,
  gone_ms      INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX result_time ON result(created_ms);

CREATE TABLE wallet(
  wallet_id   TEXT PRIMARY KEY,            -- its kind and a public fingerprint
  world       TEXT NOT NULL,
  cipher      TEXT NOT NULL,               -- the best encryption ever seen: never go below it
  frozen_ms   INTEGER,
  frozen_why  TEXT NOT NULL,
  seen_ms     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- ── the journal ─────────────────────────────────────────────────────────────────────────────────────────────────────

CREATE TABLE journal(
  seq         INTEGER PRIMARY KEY AUTOINCREMENT,
  purchase_id TEXT,
  session_id  TEXT,
  principal   TEXT NOT NULL,
  kind        TEXT NOT NULL,
  currency    TEXT NOT NULL,
  amount      INTEGER NOT NULL,
  at_ms       INTEGER NOT NULL,
  note        TEXT NOT NULL,               -- JSON
  rows        TEXT NOT NULL,               -- JSON: SHA-256 of each full row as this step leaves it
  prev        TEXT NOT NULL UNIQUE,
  hash        TEXT NOT NULL UNIQUE
) STRICT;
CREATE INDEX journal_purchase ON journal(purchase_id);
CREATE INDEX journal_session ON journal(session_id, seq);
CREATE INDEX journal_kind ON journal(kind, seq);

CREATE TRIGGER journal_no_update BEFORE UPDATE ON journal BEGIN SELECT RAISE(ABORT, 'append only'); END;
CREATE TRIGGER journal_no_delete BEFORE DELETE ON journal BEGIN SELECT RAISE(ABORT, 'append only'); END;
CREATE TRIGGER journal_chain BEFORE INSERT ON journal
  WHEN NEW.prev <> ifnull((SELECT hash FROM journal ORDER BY seq DESC LIMIT 1), '')
  BEGIN SELECT RAISE(ABORT, 'chain broken'); END;

CREATE TRIGGER purchase_no_delete BEFORE DELETE ON purchase BEGIN SELECT RAISE(ABORT, 'append only'); END;
CREATE TRIGGER purchase_pinned BEFORE UPDATE OF purchase_id, principal, session_id, idem_key, generation, request_hash,
    method, origin, host, path, request, purpose, max_price, chosen_why, created_ms ON purchase
  BEGIN SELECT RAISE(ABORT, 'pinned'); END;
CREATE TRIGGER purchase_birth BEFORE INSERT ON purchase WHEN NEW.state NOT IN('awaiting_approval','paying')
  BEGIN SELECT RAISE(ABORT, 'illegal birth'); END;
CREATE TRIGGER purchase_step BEFORE UPDATE OF state ON purchase
  WHEN OLD.state <> NEW.state AND NOT EXISTS(SELECT 1 FROM transition WHERE a = OLD.state AND b = NEW.state)
  BEGIN SELECT RAISE(ABORT, 'illegal step'); END;
CREATE TRIGGER purchase_answered BEFORE UPDATE OF answered_ms ON purchase
  WHEN OLD.answered_ms IS NOT NULL OR NEW.state <> 'delivered'
  BEGIN SELECT RAISE(ABORT, 'answered once, when delivered'); END;

CREATE TRIGGER intent_no_delete BEFORE DELETE ON intent BEGIN SELECT RAISE(ABORT, 'append only'); END;
CREATE TRIGGER intent_pinned BEFORE UPDATE OF purchase_id, n, protocol, rail, network, asset, payee, rail_key, wallet,
    currency, amount, fee_cap, liability_until_s ON intent
  BEGIN SELECT RAISE(ABORT, 'pinned'); END;
CREATE TRIGGER intent_bytes BEFORE UPDATE OF bytes, resend_until_s ON intent WHEN OLD.state <> 'pinned'
  BEGIN SELECT RAISE(ABORT, 'pinned'); END;
CREATE TRIGGER hold_no_delete BEFORE DELETE ON hold BEGIN SELECT RAISE(ABORT, 'append only'); END;
CREATE TRIGGER hold_pinned BEFORE UPDATE OF purchase_id, n, budget_id, win, amount ON hold
  BEGIN SELECT RAISE(ABORT, 'pinned'); END;
CREATE TRIGGER hold_closed BEFORE UPDATE OF open ON hold WHEN OLD.open = 0
  BEGIN SELECT RAISE(ABORT, 'a hold is closed once'); END;
CREATE TRIGGER world_pinned BEFORE UPDATE ON meta WHEN OLD.key = 'world'
  BEGIN SELECT RAISE(ABORT, 'a ledger holds one world'); END;
CREATE TRIGGER world_kept BEFORE DELETE ON meta WHEN OLD.key = 'world'
  BEGIN SELECT RAISE(ABORT, 'a ledger holds one world'); END;
