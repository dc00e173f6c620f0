-- Records of requests that must run once, for PostgreSQL 13 and later.
--
-- It may be run again, and by several processes at once: it changes only what is not there yet, one after the other.
-- Run it as one transaction, as `psql --single-transaction` and most tools for migrations do.

-- Held until the end of the transaction: "if not exists" alone fails where two create the same at the same moment.
SELECT pg_advisory_xact_lock(7305804402470480997);

-- Only where it is not there yet: even "if not exists" and a setting that is set already lock the table, and would wait for each handler's transaction, with all others behind them.
DO $$ BEGIN
IF to_regclass('seaworthy_idempotency.records') IS NULL THEN
    CREATE SCHEMA IF NOT EXISTS seaworthy_idempotency;

    CREATE TABLE seaworthy_idempotency.records (
        -- A digest, as the fingerprint: nothing that a client sent is in here but the answer.
        key bytea PRIMARY KEY CHECK (octet_length(key) = 32),
        fingerprint bytea NOT NULL CHECK (octet_length(fingerprint) = 32),
        state text NOT NULL CHECK (state IN ('running', 'given up', 'completed', 'unknown')),
        owner bytea NOT NULL CHECK (octet_length(owner) = 16),
        token bigint NOT NULL CHECK (token > 0),
        attempt integer NOT NULL CHECK (attempt > 0),
        lease_until timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        answer bytea CHECK ((answer IS NOT NULL) = (state = 'completed'))
    );

    -- What is worth compressing is compressed before it comes here.
    ALTER TABLE seaworthy_idempotency.records ALTER COLUMN answer SET STORAGE EXTERNAL;

    -- For `purge`, which removes what is past its retention, the oldest first.
    CREATE INDEX records_expires_at ON seaworthy_idempotency.records (expires_at);
END IF;
END $$;

-- Of each function below:
-- Its search_path is fixed, or whoever may create in a schema of the caller's path could put an operator of his own in the place of the one that is meant.
-- It waits a second at most for a lock, which a handler's own transaction holds from its completion to its commit: a server goes on waiting for a client that has given up, and such sessions would use up its connections.

-- Asks to run: the one place where a record begins, and where it changes hands.
--
-- Why a function: what must be read to decide, and what is then written, is one round trip, and each statement in it sees what is committed at its own beginning.
-- A single INSERT .. ON CONFLICT DO UPDATE .. WHERE .. RETURNING returns nothing where the WHERE is false, and a SELECT in the same statement reads as of its beginning, when a row that another session has just inserted was not there.
-- Reading first also leaves a replay a mere read: nothing is locked, nothing written, nothing waits for the disk.
-- Two that race for a record both find it absent or overdue; the second waits in its INSERT or UPDATE for the first to commit, changes nothing, and reads again.
CREATE OR REPLACE FUNCTION seaworthy_idempotency.claim(
    the_key bytea, the_fingerprint bytea, the_owner bytea, lease_us bigint, retention_us bigint, take_over boolean,
    OUT said text, OUT the_token bigint, OUT the_attempt integer, OUT left_us bigint, OUT the_answer bytea
) LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s' AS $$
DECLARE
    it seaworthy_idempotency.records%ROWTYPE;
    -- Of this server, and of this moment: now() is that of the transaction's beginning.
    moment timestamptz;
    lease interval := lease_us * interval '1 microsecond';
    retention interval := retention_us * interval '1 microsecond';
BEGIN
    -- Each further round follows a change by another session; so many in a row are none.
    FOR round IN 1..20 LOOP
        SELECT * INTO it FROM seaworthy_idempotency.records WHERE key = the_key;
        moment := clock_timestamp();

        IF NOT FOUND OR it.expires_at <= moment THEN
            INSERT INTO seaworthy_idempotency.records AS old
            VALUES (the_key, the_fingerprint, 'running', the_owner, 1, 1, moment + lease, moment + retention, NULL)
            ON CONFLICT (key) DO UPDATE SET
                fingerprint = EXCLUDED.fingerprint, state = EXCLUDED.state, owner = EXCLUDED.owner,
                token = EXCLUDED.token, attempt = EXCLUDED.attempt,
                lease_until = EXCLUDED.lease_until, expires_at = EXCLUDED.expires_at, answer = NULL
            WHERE old.expires_at <= moment
            RETURNING 'run', token, attempt INTO said, the_token, the_attempt;
            IF FOUND THEN
                RETURN;
            END IF;
            CONTINUE;
        END IF;

        -- Before everything else, also while it runs: the client has to change its request, and may know so now.
        IF it.fingerprint <> the_fingerprint THEN
            said := 'mismatch';
            RETURN;
        END IF;
        IF it.state IN ('completed', 'unknown') THEN
            said := it.state;
            the_attempt := it.attempt;
            left_us := extract(epoch FROM it.expires_at - moment) * 1000000;
            the_answer := it.answer;
            RETURN;
        END IF;
        IF it.state = 'running' AND it.lease_until > moment THEN
            -- The same owner asks again because the reply to its first claim was lost.
            said := CASE WHEN it.owner = the_owner THEN 'run' ELSE 'running' END;
            the_token := it.token;
            the_attempt := it.attempt;
            left_us := extract(epoch FROM it.lease_until - moment) * 1000000;
            RETURN;
        END IF;
        IF it.state NOT IN ('running', 'given up') THEN
            said := 'corrupt';
            RETURN;
        END IF;

        -- Overdue. The token grows, so that its run cannot end the record any more.
        UPDATE seaworthy_idempotency.records AS old SET
            state = CASE WHEN take_over THEN 'running' ELSE 'unknown' END,
            owner = the_owner,
            token = old.token + 1,
            attempt = old.attempt + CASE WHEN take_over THEN 1 ELSE 0 END,
            lease_until = moment + lease,
            expires_at = moment + retention
        -- Only what was read: it may have been renewed, ended or taken over in the meantime.
        WHERE key = the_key AND old.token = it.token AND old.owner = it.owner
            AND old.state = it.state AND old.lease_until = it.lease_until AND old.expires_at = it.expires_at
        RETURNING CASE WHEN take_over THEN 'run' ELSE 'unknown' END, token, attempt, retention_us
        INTO said, the_token, the_attempt, left_us;
        IF FOUND THEN
            RETURN;
        END IF;
    END LOOP;
    RAISE EXCEPTION 'the record changes too often' USING ERRCODE = 'serialization_failure';
END
$$;

-- Holds the lease for longer, also where it was over and nobody took it; whether it was still the run's.
CREATE OR REPLACE FUNCTION seaworthy_idempotency.renew(
    the_key bytea, the_owner bytea, the_token bigint, hold_us bigint
) RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s' AS $$
DECLARE
    hold interval := hold_us * interval '1 microsecond';
BEGIN
    UPDATE seaworthy_idempotency.records SET
        lease_until = clock_timestamp() + hold,
        -- A record that is forgotten during its lease could be run twice.
        expires_at = greatest(expires_at, clock_timestamp() + hold)
    WHERE key = the_key AND owner = the_owner AND token = the_token
        AND state = 'running' AND expires_at > clock_timestamp();
    -- A renewal that meets the end of its own run: nothing is lost, and nothing is left to hold.
    RETURN FOUND OR seaworthy_idempotency.has_ended(the_key, the_owner, the_token, NULL);
END
$$;

-- Ends the run with an answer, once; whether this ended it.
CREATE OR REPLACE FUNCTION seaworthy_idempotency.end_run(
    the_key bytea, the_owner bytea, the_token bigint, the_answer bytea, retention_us bigint
) RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s' AS $$
BEGIN
    UPDATE seaworthy_idempotency.records SET
        state = 'completed',
        answer = the_answer,
        expires_at = clock_timestamp() + retention_us * interval '1 microsecond'
    WHERE key = the_key AND owner = the_owner AND token = the_token
        AND state = 'running' AND expires_at > clock_timestamp();
    RETURN FOUND;
END
$$;

-- Whether the run has ended with an answer; with this one, unless it is null.
CREATE OR REPLACE FUNCTION seaworthy_idempotency.has_ended(
    the_key bytea, the_owner bytea, the_token bigint, the_answer bytea
) RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s' AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM seaworthy_idempotency.records
        WHERE key = the_key AND owner = the_owner AND token = the_token
            AND state = 'completed' AND expires_at > clock_timestamp()
            AND (the_answer IS NULL OR answer = the_answer)
    );
END
$$;

-- Ends the run with an answer; whether it was still the run's, or has ended with this very answer: the reply to the same step was lost, and another answer is none, since others may have read the first.
CREATE OR REPLACE FUNCTION seaworthy_idempotency.complete(
    the_key bytea, the_owner bytea, the_token bigint, the_answer bytea, retention_us bigint
) RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s' AS $$
BEGIN
    RETURN seaworthy_idempotency.end_run(the_key, the_owner, the_token, the_answer, retention_us)
        OR seaworthy_idempotency.has_ended(the_key, the_owner, the_token, the_answer);
END
$$;

-- The same inside a transaction of the handler's own: where the run has not ended in this very step, the transaction can only be rolled back.
--
-- Whether the caller looks at a result or not, what it has written under a lost lease is not committed; only a savepoint around it would be rolled back alone.
-- Said again it fails, unlike the others: what stood beside it the first time is committed, and would be made twice.
CREATE OR REPLACE FUNCTION seaworthy_idempotency.complete_or_fail(
    the_key bytea, the_owner bytea, the_token bigint, the_answer bytea, retention_us bigint
) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s' AS $$
BEGIN
    IF seaworthy_idempotency.end_run(the_key, the_owner, the_token, the_answer, retention_us) THEN
        RETURN;
    END IF;
    IF seaworthy_idempotency.has_ended(the_key, the_owner, the_token, NULL) THEN
        RAISE EXCEPTION 'the run has ended its idempotency record before' USING ERRCODE = 'SWI02';
    END IF;
    RAISE EXCEPTION 'the run has lost its idempotency record' USING ERRCODE = 'SWI01';
END
$$;

-- Ends the run without an answer, so that it is overdue; whether it was still the run's.
CREATE OR REPLACE FUNCTION seaworthy_idempotency.give_up(
    the_key bytea, the_owner bytea, the_token bigint
) RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s' AS $$
BEGIN
    -- A run that has given up already says so again: the reply may have been lost.
    UPDATE seaworthy_idempotency.records SET state = 'given up'
    WHERE key = the_key AND owner = the_owner AND token = the_token
        AND state IN ('running', 'given up') AND expires_at > clock_timestamp();
    RETURN FOUND;
END
$$;

-- Forgets the record of a run that did nothing; whether it was still the run's.
CREATE OR REPLACE FUNCTION seaworthy_idempotency.release(
    the_key bytea, the_owner bytea, the_token bigint
) RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s' AS $$
BEGIN
    -- What the runs before a later one did, only the record tells.
    UPDATE seaworthy_idempotency.records SET state = 'given up'
    WHERE key = the_key AND owner = the_owner AND token = the_token AND attempt > 1
        AND state = 'running' AND expires_at > clock_timestamp();
    IF FOUND THEN
        RETURN true;
    END IF;
    DELETE FROM seaworthy_idempotency.records
    WHERE key = the_key AND owner = the_owner AND token = the_token AND attempt = 1
        AND state = 'running' AND expires_at > clock_timestamp();
    RETURN FOUND;
END
$$;

-- What is left of the lease of the run that holds it, in microseconds; 0 where nobody runs, or the run is overdue.
CREATE OR REPLACE FUNCTION seaworthy_idempotency.left_of_lease(the_key bytea) RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s' AS $$
DECLARE
    rest interval;
BEGIN
    SELECT lease_until - clock_timestamp() INTO rest FROM seaworthy_idempotency.records
    WHERE key = the_key AND state = 'running' AND expires_at > clock_timestamp();
    RETURN greatest(coalesce(extract(epoch FROM rest) * 1000000, 0), 0)::bigint;
END
$$;

-- Removes at most so many records that are past their retention, and says how many it removed.
CREATE OR REPLACE FUNCTION seaworthy_idempotency.purge(at_most integer) RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s' AS $$
DECLARE
    -- A variable, because an index is not searched for what a volatile function says.
    moment timestamptz := clock_timestamp();
    removed bigint;
BEGIN
    -- What somebody else works on is left to the next time: neither another purge nor a claim waits for this one.
    DELETE FROM seaworthy_idempotency.records WHERE key IN (
        SELECT key FROM seaworthy_idempotency.records WHERE expires_at <= moment
        ORDER BY expires_at LIMIT at_most FOR UPDATE SKIP LOCKED
    );
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN removed;
END
$$;
