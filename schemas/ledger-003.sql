-- The ledger, version 3: deposits that calls draw on (MPP sessions), and what comes back of them.

-- A deposit is a purchase, and each top-up of it is another, whose idempotency key names it. What it shows to the seller
-- is a secret: it stands in the purchase's credential, and in no column here.
CREATE TABLE deposit(
  purchase_id    TEXT PRIMARY KEY REFERENCES purchase,
  realm          TEXT NOT NULL,
  wallet         TEXT NOT NULL,            -- where the rest comes back to
  return_hash    TEXT NOT NULL UNIQUE,     -- the payment hash of the invoice for it
  return_until_s INTEGER NOT NULL,
  state          TEXT NOT NULL CHECK(state IN('open','closing','closed','done')),
  used           INTEGER NOT NULL CHECK(used >= 0),  -- how much of it seems to be used: the seller's word
  closes_s       INTEGER,                  -- after how many seconds without a call the seller closes
  used_ms        INTEGER NOT NULL,         -- the last call
  close_asked_ms INTEGER                   -- when somebody asked whoever drives it to close it
) STRICT, WITHOUT ROWID;
CREATE INDEX deposit_unfinished ON deposit(state) WHERE state <> 'done';

-- To which windows a credit gave room: those of limits without an end, never a day's or a session's.
CREATE TABLE credit_room(
  credit_id INTEGER NOT NULL REFERENCES credit,
  budget_id INTEGER NOT NULL,
  win       INTEGER NOT NULL,
  amount    INTEGER NOT NULL CHECK(amount > 0),
  PRIMARY KEY(credit_id, budget_id, win),
  FOREIGN KEY(budget_id, win) REFERENCES budget_window
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX credit_once ON credit(purchase_id);

CREATE TRIGGER credit_no_update BEFORE UPDATE ON credit BEGIN SELECT RAISE(ABORT, 'append only'); END;
CREATE TRIGGER credit_no_delete BEFORE DELETE ON credit BEGIN SELECT RAISE(ABORT, 'append only'); END;
CREATE TRIGGER credit_room_no_update BEFORE UPDATE ON credit_room BEGIN SELECT RAISE(ABORT, 'append only'); END;
CREATE TRIGGER credit_room_no_delete BEFORE DELETE ON credit_room BEGIN SELECT RAISE(ABORT, 'append only'); END;
CREATE TRIGGER deposit_no_delete BEFORE DELETE ON deposit BEGIN SELECT RAISE(ABORT, 'append only'); END;
CREATE TRIGGER deposit_over BEFORE UPDATE OF state ON deposit
  WHEN (OLD.state = 'done' AND NEW.state <> 'done') OR (OLD.state = 'closed' AND NEW.state IN('open','closing'))
    OR (OLD.state = 'closing' AND NEW.state = 'open')
  BEGIN SELECT RAISE(ABORT, 'a deposit is not opened again'); END;
