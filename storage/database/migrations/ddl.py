"""The frozen DDL of revision 0001: the six tables where they are missing, and what a HERA database enforces on them.

PostgreSQL 15 to 18 accept it. It does not use the module of the tables, which may change. Invariant: a table that it
creates behaves like one of a HERA database; in particular `total_amount` follows the lines, and the type of a
transaction is upper case.
"""

_STAMPS = """
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(),
    created_by uuid,
    updated_by uuid"""

_ORGANIZATION = "organization_id uuid NOT NULL REFERENCES core_organizations (id) ON DELETE CASCADE"

# What HERA's pattern `^HERA\.[A-Z0-9_]{3,30}(\.[A-Z0-9_]{2,40}){3,8}\.V[0-9]+$` says, ignoring case, in parts: as one
# pattern its nested counts cost 180 microseconds for each row that is written, in parts a tenth of that.
_SMART_CODE = r"""
    smart_code varchar(100) NOT NULL CHECK (
        smart_code ~* '^HERA\.[A-Z0-9_.]+\.V[0-9]+$'
        AND array_length(string_to_array(smart_code, '.'), 1) BETWEEN 6 AND 11
        AND length(split_part(smart_code, '.', 2)) BETWEEN 3 AND 30
        AND smart_code !~ '\.[^.]?\.' AND smart_code !~ '\.[^.]{41,}\.'
    ),
    smart_code_status text DEFAULT 'DRAFT'"""

# In the order of their foreign keys.
TABLES: dict[str, str] = {
    "core_organizations": f"""
CREATE TABLE core_organizations (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_name text NOT NULL,
    organization_code text NOT NULL UNIQUE,
    organization_type text DEFAULT 'business_unit',
    industry_classification text,
    parent_organization_id uuid REFERENCES core_organizations (id),
    ai_insights jsonb DEFAULT '{{}}',
    ai_classification text,
    ai_confidence numeric(5,4) DEFAULT 0,
    settings jsonb DEFAULT '{{}}',
    status text DEFAULT 'active',{_STAMPS}
)""",
    "core_entities": f"""
CREATE TABLE core_entities (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    {_ORGANIZATION},
    entity_type text NOT NULL,
    entity_name text NOT NULL,
    entity_code text,
    entity_description text,
    parent_entity_id uuid REFERENCES core_entities (id),{_SMART_CODE},
    ai_confidence numeric(5,4) DEFAULT 0,
    ai_classification text,
    ai_insights jsonb DEFAULT '{{}}',
    business_rules jsonb DEFAULT '{{}}',
    metadata jsonb DEFAULT '{{}}',
    tags text[],
    status text DEFAULT 'active',{_STAMPS},
    version integer DEFAULT 1
)""",
    "core_dynamic_data": f"""
CREATE TABLE core_dynamic_data (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    {_ORGANIZATION},
    entity_id uuid NOT NULL REFERENCES core_entities (id) ON DELETE CASCADE,
    field_name text NOT NULL,
    field_type text DEFAULT 'text',
    field_value_text text,
    field_value_number numeric(20,8),
    field_value_boolean boolean,
    field_value_date timestamptz,
    field_value_json jsonb DEFAULT '{{}}',
    field_value_file_url text,
    calculated_value jsonb DEFAULT '{{}}',{_SMART_CODE},
    ai_confidence numeric(5,4) DEFAULT 0,
    ai_enhanced_value text,
    ai_insights jsonb DEFAULT '{{}}',
    validation_rules jsonb DEFAULT '{{}}',
    validation_status text DEFAULT 'valid',
    field_order integer DEFAULT 1,
    is_searchable boolean DEFAULT true,
    is_required boolean DEFAULT false,
    is_system_field boolean DEFAULT false,{_STAMPS},
    version integer DEFAULT 1,
    UNIQUE (organization_id, entity_id, field_name)
)""",
    "core_relationships": f"""
CREATE TABLE core_relationships (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    {_ORGANIZATION},
    from_entity_id uuid NOT NULL REFERENCES core_entities (id) ON DELETE CASCADE,
    to_entity_id uuid NOT NULL REFERENCES core_entities (id) ON DELETE CASCADE,
    relationship_type text NOT NULL,
    relationship_direction text DEFAULT 'forward',
    relationship_strength numeric(5,4) DEFAULT 1,
    relationship_data jsonb DEFAULT '{{}}',{_SMART_CODE},
    ai_confidence numeric(5,4) DEFAULT 0,
    ai_classification text,
    ai_insights jsonb DEFAULT '{{}}',
    business_logic jsonb DEFAULT '{{}}',
    validation_rules jsonb DEFAULT '{{}}',
    is_active boolean DEFAULT true,
    effective_date timestamptz DEFAULT now(),
    expiration_date timestamptz,{_STAMPS},
    version integer DEFAULT 1,
    CHECK (from_entity_id <> to_entity_id)
)""",
    "universal_transactions": f"""
CREATE TABLE universal_transactions (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    {_ORGANIZATION},
    transaction_type text NOT NULL,
    transaction_code text UNIQUE,
    transaction_date timestamptz DEFAULT now(),
    source_entity_id uuid REFERENCES core_entities (id),
    target_entity_id uuid REFERENCES core_entities (id),
    total_amount numeric(19,4) NOT NULL DEFAULT 0,
    transaction_status text DEFAULT 'pending',
    reference_number text,
    external_reference text,{_SMART_CODE},
    ai_confidence numeric(5,4) DEFAULT 0,
    ai_classification text,
    ai_insights jsonb DEFAULT '{{}}',
    business_context jsonb DEFAULT '{{}}',
    metadata jsonb DEFAULT '{{}}',
    approval_required boolean DEFAULT false,
    approved_by uuid,
    approved_at timestamptz,{_STAMPS},
    version integer DEFAULT 1,
    transaction_currency_code char(3),
    base_currency_code char(3),
    exchange_rate numeric(20,10),
    exchange_rate_date date,
    exchange_rate_type text,
    fiscal_period_entity_id uuid REFERENCES core_entities (id),
    fiscal_year integer,
    fiscal_period integer,
    posting_period_code text,
    CHECK (total_amount >= 0 OR transaction_type NOT LIKE 'PLAYBOOK\\_%')
)""",
    "universal_transaction_lines": f"""
CREATE TABLE universal_transaction_lines (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    {_ORGANIZATION},
    transaction_id uuid NOT NULL REFERENCES universal_transactions (id) ON DELETE CASCADE,
    line_number integer NOT NULL,
    entity_id uuid REFERENCES core_entities (id),
    line_type text NOT NULL,
    description text,
    quantity numeric(20,8) DEFAULT 1,
    unit_amount numeric(20,8) DEFAULT 0,
    line_amount numeric(20,8) DEFAULT 0,
    discount_amount numeric(20,8) DEFAULT 0,
    tax_amount numeric(20,8) DEFAULT 0,{_SMART_CODE},
    ai_confidence numeric(5,4) DEFAULT 0,
    ai_classification text,
    ai_insights jsonb DEFAULT '{{}}',
    line_data jsonb DEFAULT '{{}}',{_STAMPS},
    version integer DEFAULT 1,
    UNIQUE (transaction_id, line_number)
)""",
}

_TOTALS_OF_LINES = """CREATE OR REPLACE FUNCTION playbook_total_of_lines() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE universal_transactions t SET total_amount = s.total
    FROM (
        SELECT k.transaction_id, coalesce((
            SELECT round(sum(coalesce(l.line_amount, 0) - coalesce(l.discount_amount, 0)
                             + coalesce(l.tax_amount, 0)), 4)
            FROM universal_transaction_lines l WHERE l.transaction_id = k.transaction_id), 0) AS total
        FROM (
            SELECT DISTINCT transaction_id FROM touched
            WHERE coalesce(line_amount, 0) <> 0 OR coalesce(discount_amount, 0) <> 0 OR coalesce(tax_amount, 0) <> 0
        ) k
    ) s
    WHERE t.id = s.transaction_id AND t.total_amount IS DISTINCT FROM s.total;
    RETURN NULL;
END $$"""

_TOTALS_OF_CHANGED_LINES = _TOTALS_OF_LINES.replace(
    "playbook_total_of_lines()", "playbook_total_of_changed_lines()"
).replace(
    """SELECT DISTINCT transaction_id FROM touched
            WHERE coalesce(line_amount, 0) <> 0 OR coalesce(discount_amount, 0) <> 0 OR coalesce(tax_amount, 0) <> 0""",
    """SELECT DISTINCT n.transaction_id FROM touched n JOIN before b USING (id)
            WHERE (n.line_amount, n.discount_amount, n.tax_amount)
                IS DISTINCT FROM (b.line_amount, b.discount_amount, b.tax_amount)""",
)

# Statement-level, and only over lines whose amount moved: events carry zero, so a flush of them sums nothing.
TRIGGERS: dict[str, list[str]] = {
    "universal_transactions": [
        """CREATE OR REPLACE FUNCTION playbook_upper_transaction_type() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.transaction_type := upper(NEW.transaction_type);
    RETURN NEW;
END $$""",
        """CREATE TRIGGER playbook_upper_transaction_type BEFORE INSERT OR UPDATE OF transaction_type
    ON universal_transactions FOR EACH ROW EXECUTE FUNCTION playbook_upper_transaction_type()""",
    ],
    "universal_transaction_lines": [
        _TOTALS_OF_LINES,
        _TOTALS_OF_CHANGED_LINES,
        """CREATE TRIGGER playbook_total_after_insert AFTER INSERT ON universal_transaction_lines
    REFERENCING NEW TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION playbook_total_of_lines()""",
        """CREATE TRIGGER playbook_total_after_delete AFTER DELETE ON universal_transaction_lines
    REFERENCING OLD TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION playbook_total_of_lines()""",
        """CREATE TRIGGER playbook_total_after_update AFTER UPDATE ON universal_transaction_lines
    REFERENCING NEW TABLE AS touched OLD TABLE AS before
    FOR EACH STATEMENT EXECUTE FUNCTION playbook_total_of_changed_lines()""",
    ],
}

# What our upserts stand on. A HERA database has them; where one is missing it is added, never doubled.
UNIQUE_KEYS: list[tuple[str, tuple[str, ...]]] = [
    ("core_organizations", ("organization_code",)),
    ("core_dynamic_data", ("organization_id", "entity_id", "field_name")),
    ("universal_transaction_lines", ("transaction_id", "line_number")),
]

RUN_IS_UNFINISHED = "transaction_type = 'PLAYBOOK_RUN' AND transaction_status IN ('queued', 'in_progress', 'paused')"
TRANSITION_IS_UNFINISHED = (
    "transaction_type = 'PLAYBOOK_TRANSITION' AND transaction_status IN ('scheduled', 'in_progress')"
)

# A run of ours, by columns that change only when its status does: each flush rewrites `metadata`, and no update of a
# column that an index names, if only to say which rows it holds, can be HOT. Said with IS NOT NULL, which PostgreSQL
# takes to hold for nearly all rows: it has no statistics of wide JSON, and takes `?` to hold for one in a hundred.
RUN_IS_OURS = (
    "transaction_type = 'PLAYBOOK_RUN' AND (business_context -> 'request_hash') IS NOT NULL"
    " AND (business_context -> 'playbook') IS NOT NULL AND (business_context -> 'start' -> 'initiator') IS NOT NULL"
)
_HAS_ENDED = "transaction_status IN ('completed', 'failed', 'cancelled')"


def _runs_by(name: str, columns: str, *, beside: str = "transaction_status", only: str = "") -> str:
    """An index that a list of runs is read from in its order, and counted from without reading the rows."""
    condition = f"{RUN_IS_OURS} AND {only}" if only else RUN_IS_OURS
    return f"""CREATE INDEX IF NOT EXISTS playbook_runs_by_{name}
    ON universal_transactions (organization_id, {columns}, id DESC) INCLUDE ({beside}) WHERE {condition}"""


# Only operators that are leakproof (equality and order of text, uuid, timestamptz): under row-level security an index
# behind any other operator is not used.
INDEXES: list[str] = [
    """CREATE INDEX IF NOT EXISTS playbook_entities_by_code
    ON core_entities (organization_id, entity_type, entity_code)""",
    """CREATE INDEX IF NOT EXISTS playbook_entities_by_status
    ON core_entities (organization_id, entity_type, status, created_at DESC, id DESC)""",
    "CREATE INDEX IF NOT EXISTS playbook_entities_by_parent ON core_entities (parent_entity_id)",
    """CREATE INDEX IF NOT EXISTS playbook_relationships_from
    ON core_relationships (from_entity_id, relationship_type)""",
    "CREATE INDEX IF NOT EXISTS playbook_relationships_to ON core_relationships (to_entity_id, relationship_type)",
    """CREATE INDEX IF NOT EXISTS playbook_transactions_by_target
    ON universal_transactions (organization_id, target_entity_id, transaction_type)""",
    f"""CREATE INDEX IF NOT EXISTS playbook_unfinished_runs
    ON universal_transactions (transaction_status, created_at) WHERE {RUN_IS_UNFINISHED}""",
    f"""CREATE INDEX IF NOT EXISTS playbook_unfinished_transitions
    ON universal_transactions (transaction_date) WHERE {TRANSITION_IS_UNFINISHED}""",
    _runs_by("start", "transaction_date DESC", beside="transaction_status, target_entity_id"),
    _runs_by("status", "transaction_status, transaction_date DESC", beside="target_entity_id"),
    _runs_by("playbook", "target_entity_id, transaction_date DESC"),
    _runs_by("initiator", "created_by, transaction_date DESC"),
    _runs_by("subject", "source_entity_id, transaction_date DESC", only="source_entity_id IS NOT NULL"),
    _runs_by("correlation", "external_reference, transaction_date DESC", only="external_reference IS NOT NULL"),
    _runs_by("end", "updated_at DESC", beside="transaction_status, target_entity_id", only=_HAS_ENDED),
    # An index alone answers for an expression only where it has the columns too.
    _runs_by(
        "duration",
        "(updated_at - transaction_date) DESC",
        beside="updated_at, transaction_date, transaction_status, target_entity_id",
        only=_HAS_ENDED,
    ),
    f"""CREATE INDEX IF NOT EXISTS playbook_runs_by_id
    ON universal_transactions (organization_id, id) INCLUDE (transaction_status) WHERE {RUN_IS_OURS}""",
    f"""CREATE INDEX IF NOT EXISTS playbook_runs_unfinished_by_id
    ON universal_transactions (organization_id, id) WHERE {RUN_IS_OURS}
        AND transaction_status IN ('queued', 'in_progress', 'paused')""",
    """CREATE INDEX IF NOT EXISTS playbook_run_labels
    ON universal_transaction_lines (organization_id, description, transaction_id) WHERE line_type = 'run_label'""",
]
