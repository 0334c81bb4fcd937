-- Version 2 to 3: when a tenant's OAuth2 token expires, and why the last fetch of one failed. outboxd
-- writes each tenant's row anew when it starts.
ALTER TABLE outbox_tenant_status ADD COLUMN token_expires_at INTEGER;
ALTER TABLE outbox_tenant_status ADD COLUMN token_error TEXT;
