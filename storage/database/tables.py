"""The six universal tables for SQLAlchemy, with the columns, types and defaults of a HERA database.

A test reflects a migrated database and finds these columns and no others; the DDL itself is frozen in
`migrations/ddl.py`, so a change here changes no database.
"""

from typing import Any

from sqlalchemy import (
    CHAR,
    Boolean,
    Column,
    Date,
    DateTime,
    FetchedValue,
    Integer,
    MetaData,
    Numeric,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, VARCHAR
from sqlalchemy.types import TypeEngine

metadata = MetaData()


def _column(name: str, kind: TypeEngine[Any], *, required: bool = False, default: bool = False) -> Column[Any]:
    """A column; `default`: the database fills it in when it is left out."""
    return Column(name, kind, nullable=not required, server_default=FetchedValue() if default else None)


def _uuid(name: str, *, required: bool = False) -> Column[Any]:
    return _column(name, Uuid(as_uuid=True), required=required)


def _text(name: str, *, required: bool = False, default: bool = False) -> Column[Any]:
    return _column(name, Text(), required=required, default=default)


def _json(name: str) -> Column[Any]:
    # None must be SQL's NULL: a jsonb 'null' is a value, which no code here writes.
    return _column(name, JSONB(none_as_null=True), default=True)


def _number(name: str, precision: int, scale: int, *, required: bool = False, default: bool = True) -> Column[Any]:
    return _column(name, Numeric(precision, scale), required=required, default=default)


def _instant(name: str, *, default: bool = False) -> Column[Any]:
    return _column(name, DateTime(timezone=True), default=default)


def _flag(name: str) -> Column[Any]:
    return _column(name, Boolean(), default=True)


def _integer(name: str, *, required: bool = False, default: bool = False) -> Column[Any]:
    return _column(name, Integer(), required=required, default=default)


def _id() -> Column[Any]:
    return Column("id", Uuid(as_uuid=True), primary_key=True, server_default=FetchedValue())


def _smart_code() -> list[Column[Any]]:
    return [_column("smart_code", VARCHAR(100), required=True), _text("smart_code_status", default=True)]


def _stamps() -> list[Column[Any]]:
    return [
        _instant("created_at", default=True),
        _instant("updated_at", default=True),
        _uuid("created_by"),
        _uuid("updated_by"),
    ]


def _version() -> Column[Any]:
    return _integer("version", default=True)


organizations = Table(
    "core_organizations",
    metadata,
    _id(),
    _text("organization_name", required=True),
    _text("organization_code", required=True),
    _text("organization_type", default=True),
    _text("industry_classification"),
    _uuid("parent_organization_id"),
    _json("ai_insights"),
    _text("ai_classification"),
    _number("ai_confidence", 5, 4),
    _json("settings"),
    _text("status", default=True),
    *_stamps(),
)

entities = Table(
    "core_entities",
    metadata,
    _id(),
    _uuid("organization_id", required=True),
    _text("entity_type", required=True),
    _text("entity_name", required=True),
    _text("entity_code"),
    _text("entity_description"),
    _uuid("parent_entity_id"),
    *_smart_code(),
    _number("ai_confidence", 5, 4),
    _text("ai_classification"),
    _json("ai_insights"),
    _json("business_rules"),
    _json("metadata"),
    _column("tags", ARRAY(Text())),
    _text("status", default=True),
    *_stamps(),
    _version(),
)

dynamic_data = Table(
    "core_dynamic_data",
    metadata,
    _id(),
    _uuid("organization_id", required=True),
    _uuid("entity_id", required=True),
    _text("field_name", required=True),
    _text("field_type", default=True),
    _text("field_value_text"),
    _number("field_value_number", 20, 8, default=False),
    _column("field_value_boolean", Boolean()),
    _instant("field_value_date"),
    _json("field_value_json"),
    _text("field_value_file_url"),
    _json("calculated_value"),
    *_smart_code(),
    _number("ai_confidence", 5, 4),
    _text("ai_enhanced_value"),
    _json("ai_insights"),
    _json("validation_rules"),
    _text("validation_status", default=True),
    _integer("field_order", default=True),
    _flag("is_searchable"),
    _flag("is_required"),
    _flag("is_system_field"),
    *_stamps(),
    _version(),
)

relationships = Table(
    "core_relationships",
    metadata,
    _id(),
    _uuid("organization_id", required=True),
    _uuid("from_entity_id", required=True),
    _uuid("to_entity_id", required=True),
    _text("relationship_type", required=True),
    _text("relationship_direction", default=True),
    _number("relationship_strength", 5, 4),
    _json("relationship_data"),
    *_smart_code(),
    _number("ai_confidence", 5, 4),
    _text("ai_classification"),
    _json("ai_insights"),
    _json("business_logic"),
    _json("validation_rules"),
    _flag("is_active"),
    _instant("effective_date", default=True),
    _instant("expiration_date"),
    *_stamps(),
    _version(),
)

transactions = Table(
    "universal_transactions",
    metadata,
    _id(),
    _uuid("organization_id", required=True),
    _text("transaction_type", required=True),
    _text("transaction_code"),
    _instant("transaction_date", default=True),
    _uuid("source_entity_id"),
    _uuid("target_entity_id"),
    _number("total_amount", 19, 4, required=True),
    _text("transaction_status", default=True),
    _text("reference_number"),
    _text("external_reference"),
    *_smart_code(),
    _number("ai_confidence", 5, 4),
    _text("ai_classification"),
    _json("ai_insights"),
    _json("business_context"),
    _json("metadata"),
    _flag("approval_required"),
    _uuid("approved_by"),
    _instant("approved_at"),
    *_stamps(),
    _version(),
    _column("transaction_currency_code", CHAR(3)),
    _column("base_currency_code", CHAR(3)),
    _number("exchange_rate", 20, 10, default=False),
    _column("exchange_rate_date", Date()),
    _text("exchange_rate_type"),
    _uuid("fiscal_period_entity_id"),
    _integer("fiscal_year"),
    _integer("fiscal_period"),
    _text("posting_period_code"),
)

lines = Table(
    "universal_transaction_lines",
    metadata,
    _id(),
    _uuid("organization_id", required=True),
    _uuid("transaction_id", required=True),
    _integer("line_number", required=True),
    _uuid("entity_id"),
    _text("line_type", required=True),
    _text("description"),
    _number("quantity", 20, 8),
    _number("unit_amount", 20, 8),
    _number("line_amount", 20, 8),
    _number("discount_amount", 20, 8),
    _number("tax_amount", 20, 8),
    *_smart_code(),
    _number("ai_confidence", 5, 4),
    _text("ai_classification"),
    _json("ai_insights"),
    _json("line_data"),
    *_stamps(),
    _version(),
)
