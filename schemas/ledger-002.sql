-- The ledger, version 2: agents that come over HTTP, each with a token and a purse of its own.

-- One token a principal. Only a hash of its secret is kept; a revoked one stays, so that its name is never given to
-- another agent, who would find the first one's purchases.
CREATE TABLE token(
  principal  TEXT PRIMARY KEY CHECK(length(principal) BETWEEN 1 AND 32 AND principal NOT GLOB '*[^a-z0-9_-]*'
                                    AND principal <> 'local'),
  kind       TEXT NOT NULL CHECK(kind IN('agent','watch')),  -- watch: reads /metrics, and nothing else
  digest     BLOB NOT NULL CHECK(length(digest) = 32),       -- SHA-256 of the secret part
  created_ms INTEGER NOT NULL,
  revoked_ms INTEGER
) STRICT, WITHOUT ROWID;

-- What the operator allows one principal, below the ceilings of the config. No tool can write it.
CREATE TABLE allowance(
  principal TEXT NOT NULL REFERENCES token,
  currency  TEXT NOT NULL,
  scope     TEXT NOT NULL CHECK(scope IN('purchase','session','day','total')),
  atomic    INTEGER NOT NULL CHECK(atomic BETWEEN 0 AND 4611686018427387903),
  PRIMARY KEY(principal, currency, scope)
) STRICT, WITHOUT ROWID;

-- '' stands for everyone in the table of budgets, so nobody may be called that; nor anything that could be taken for
-- two names where names are put together.
CREATE TRIGGER session_principal BEFORE INSERT ON session
  WHEN length(NEW.principal) NOT BETWEEN 1 AND 32 OR NEW.principal GLOB '*[^a-z0-9_-]*'
  BEGIN SELECT RAISE(ABORT, 'not the name of a principal'); END;
CREATE TRIGGER purchase_principal BEFORE INSERT ON purchase
  WHEN length(NEW.principal) NOT BETWEEN 1 AND 32 OR NEW.principal GLOB '*[^a-z0-9_-]*'
  BEGIN SELECT RAISE(ABORT, 'not the name of a principal'); END;
