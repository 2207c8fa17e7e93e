"""HERA smart codes: generate and validate."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field, model_validator

from api.context import Reader
from api.http.problems import documented
from api.http.schemas import RequestModel, Success
from playbooks.common.smart_codes import INDUSTRY_PATTERN, KINDS, Kind, build, is_valid, parse

router = APIRouter(prefix="/playbooks/smart-codes", tags=["smart codes"])

Code = Annotated[str, Field(min_length=1, max_length=200)]


class SmartCodeRequest(RequestModel):
    """`generate` needs industry, kind and name; `validate` needs codes."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"action": "generate", "industry": "PUBLICSECTOR", "kind": "RUN", "name": "grants", "version": 1},
                {"action": "validate", "codes": ["HERA.PUBLICSECTOR.PLAYBOOK.RUN.GRANTS.V1"]},
            ]
        },
    )

    action: Literal["generate", "validate"] = "generate"
    industry: Annotated[str, Field(pattern=INDUSTRY_PATTERN)] | None = None
    kind: Kind | None = None
    name: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    version: int = Field(default=1, ge=1, le=999_999_999)
    codes: list[Code] = Field(default_factory=list[Code], max_length=200)

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.action == "generate" and None in (self.industry, self.kind, self.name):
            raise ValueError("generating needs industry, kind and name")
        if self.action == "validate" and not self.codes:
            raise ValueError("validating needs codes")
        return self


class SmartCodeView(BaseModel):
    """A code, whether it is valid, and its parts if it is a playbook's."""

    code: str = Field(examples=["HERA.PUBLICSECTOR.PLAYBOOK.RUN.GRANTS.V1"])
    is_valid: bool
    industry: str | None = None
    kind: str | None = None
    name: str | None = None
    version: int | None = None


class SmartCodeCatalogue(BaseModel):
    """The kinds of codes, and the validity of the codes in the query."""

    kinds: list[str]
    pattern: str
    codes: list[SmartCodeView]


@router.get("", responses=documented())
async def read_catalogue(
    context: Reader, code: Annotated[list[Code] | None, Query(max_length=200)] = None
) -> Success[SmartCodeCatalogue]:
    """List the kinds of smart codes, and validate the codes in the query."""
    return Success(
        data=SmartCodeCatalogue(
            kinds=[*KINDS],
            pattern="HERA.{INDUSTRY}.PLAYBOOK.{KIND}.{NAME}.V{n}",
            codes=[_view(each) for each in code or []],
        )
    )


@router.post("", responses=documented())
async def generate_or_validate(request: SmartCodeRequest, context: Reader) -> Success[list[SmartCodeView]]:
    """Generate a code, or validate codes. Nothing is stored."""
    if request.industry is not None and request.kind is not None and request.name is not None:
        generated = [build(request.industry, request.kind, request.name, request.version)]
    else:
        generated = []
    return Success(data=[_view(code) for code in (generated if request.action == "generate" else request.codes)])


def _view(code: str) -> SmartCodeView:
    parts = parse(code)
    if parts is None:
        return SmartCodeView(code=code, is_valid=is_valid(code))
    return SmartCodeView(
        code=code,
        is_valid=True,
        industry=parts.industry,
        kind=parts.kind,
        name=parts.name,
        version=parts.version,
    )
