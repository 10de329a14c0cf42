"""
What the configuration file may say, block by block.

Every field is optional unless it says otherwise, and what is unset keeps its default: the
defaults themselves stand with the values that the snapshot carries (failover.engine.policy,
providers.adapters.spec, routing.gateway.deciding.snapshot). References between blocks are
checked in controlplane.config.references.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from controlplane.config.types import (
    AffinityKey,
    Attempts,
    AuthScheme,
    BaseUrl,
    CatalogName,
    Count,
    Duration,
    Email,
    ExhaustedStatus,
    Factor,
    Fault,
    Flag,
    Gate,
    Headers,
    InventoryMode,
    Kind,
    Milliseconds,
    Moment,
    Name,
    Params,
    Pause,
    Price,
    ProtocolName,
    ProviderName,
    Proxy,
    QuietHoursText,
    Ratio,
    Retries,
    Scope,
    Seconds,
    SecondsOrNone,
    Secret,
    Status,
    StatusPage,
    Strategy,
    Target,
    Text,
    UserPath,
    WebhookKind,
    WebhookUrl,
    Whole,
)
from controlplane.validation import SIGNED
from failover.validation import MOST_FALLBACKS


def _whole_where_possible(value: Any) -> Any:
    """5.0 as 5: the way operators write it, and the same value."""
    if isinstance(value, dict):
        return {key: _whole_where_possible(member) for key, member in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value


class FileBlock(BaseModel):
    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, hide_input_in_errors=True, allow_inf_nan=False
    )

    def given(self) -> dict[str, Any]:
        """What the file says of this block, as JSON values; nothing that it leaves out."""
        given: dict[str, Any] = _whole_where_possible(self.model_dump(exclude_unset=True))
        return given


class TimeoutsBlock(FileBlock):
    connect_s: Seconds | None = None
    first_token_s: Seconds | None = None
    reasoning_first_token_s: Seconds | None = None
    idle_s: Seconds | None = None
    total_s: Seconds | None = None
    stream_total_s: Seconds | None = None


class BackoffBlock(FileBlock):
    base_ms: Pause | None = None
    factor: Factor | None = None
    max_ms: Pause | None = None


def _once(value: Any) -> Any:
    """Who gives `retry_first` means once, where nothing else is said."""
    return {"times": 1, **value} if isinstance(value, dict) else value


class RetryFirstBlock(FileBlock):
    statuses: list[Status] | None = None
    times: Retries | None = None
    max_wait_s: SecondsOrNone | None = None


class FailoverPolicyBlock(FileBlock):
    enabled: Flag | None = None
    max_attempts: Attempts | None = None
    same_candidate_retries: Retries | None = None
    retry_on_statuses: list[Status] | None = None
    retry_on_model_errors: Flag | None = None
    retry_on_timeouts: Flag | None = None
    retry_on_content_filter: Flag | None = None
    deadline_s: Seconds | None = None
    hold_s: SecondsOrNone | None = None
    gate: Gate | None = None
    exhausted_status: ExhaustedStatus | None = None
    hedge_after_ms: Milliseconds | None = None
    retry_first: Annotated[RetryFirstBlock, BeforeValidator(_once)] | None = None
    backoff: BackoffBlock | None = None


class BenchBlock(FileBlock):
    failures: Count | None = None
    failure_ratio: Ratio | None = None
    window_s: Seconds | None = None
    cooldown_s: Seconds | None = None
    max_outage_s: Seconds | None = None
    max_cooldown_s: Seconds | None = None
    auth_cooldown_s: Seconds | None = None


class CaptureBlock(FileBlock):
    requests: Flag | None = None
    responses: Flag | None = None
    keep_days: Count | None = None


class WebhookBlock(FileBlock):
    """Without a name it is called after its place in the list: webhook-1, webhook-2 …"""

    url: WebhookUrl
    name: Annotated[Text, Field(max_length=100)] = ""
    kind: WebhookKind = SIGNED
    secret: Secret = ""
    enabled: Flag = True


class AlertsBlock(FileBlock):
    webhooks: list[WebhookBlock] = []
    email: list[Email] | None = None
    failover_rate: Ratio | None = None
    quiet_hours: QuietHoursText | None = None


class CapabilitiesBlock(FileBlock):
    tools: Flag | None = None
    parallel_tools: Flag | None = None
    vision: Flag | None = None
    audio: Flag | None = None
    files: Flag | None = None
    json_schema: Flag | None = None
    reasoning: Flag | None = None
    embeddings: Flag | None = None
    streaming: Flag | None = None


class PricesBlock(FileBlock):
    input_per_mtok: Price | None = None
    output_per_mtok: Price | None = None
    cached_input_per_mtok: Price | None = None
    cache_write_per_mtok: Price | None = None


class PriceTierBlock(PricesBlock):
    above_input_tokens: Whole


class PricingBlock(PricesBlock):
    tiers: list[PriceTierBlock] | None = None


class MetadataBlock(FileBlock):
    catalog: CatalogName | None = None
    family: Annotated[Text, Field(max_length=100)] | None = None
    context_window: Whole | None = None
    max_output_tokens: Whole | None = None
    capabilities: CapabilitiesBlock | None = None
    reasons: Flag | None = None
    pricing: PricingBlock | None = None


class ProviderModelBlock(FileBlock):
    id: Name
    metadata: MetadataBlock = MetadataBlock()


class HealthBlock(FileBlock):
    interval_s: Seconds | None = None
    paid_probe_model: Text | None = None
    status_page: StatusPage | None = None


class CredentialBlock(FileBlock):
    """Without a label it is called after its place in the list: key-1, key-2 …"""

    key: Secret
    label: Annotated[Text, Field(max_length=100)] = ""
    enabled: Flag = True


class ProviderBlock(FileBlock):
    kind: Kind
    base_url: BaseUrl = ""
    auth: AuthScheme = ""
    api_key: Secret = ""
    api_keys: list[
        Annotated[
            CredentialBlock,
            BeforeValidator(lambda value: {"key": value} if isinstance(value, str) else value),
        ]
    ] = []
    enabled: Flag = True
    models: list[
        Annotated[
            ProviderModelBlock,
            BeforeValidator(lambda value: {"id": value} if isinstance(value, str) else value),
        ]
    ] = []
    protocols: list[ProtocolName] = []
    headers: Headers = {}
    timeouts: TimeoutsBlock = TimeoutsBlock()
    health: HealthBlock = HealthBlock()
    failure_domain: dict[Name, Text] = {}
    proxy: Proxy = ""
    trust_env_proxy: Flag = True
    bench: BenchBlock = BenchBlock()
    fault: Fault = ""


class CandidateBlock(FileBlock):
    provider: ProviderName
    model: Name
    priority: Whole = 1
    weight: Whole = 1
    rpm: Whole | None = None
    tpm: Whole | None = None
    max_parallel: Whole | None = None
    enabled: Flag = True
    timeouts: TimeoutsBlock = TimeoutsBlock()


class PoolBlock(FileBlock):
    candidates: list[CandidateBlock]
    aliases: list[Name] = []
    enabled: Flag = True
    strategy: Strategy = ""
    session_affinity: Flag | None = None
    session_affinity_ttl: Duration | None = None
    affinity_key: AffinityKey = ""
    stay_after_failover: Flag | None = None
    native_first: Flag | None = None
    params: Params = ""
    timeouts: TimeoutsBlock = TimeoutsBlock()
    failover: FailoverPolicyBlock = FailoverPolicyBlock()
    capture: CaptureBlock = CaptureBlock()


class RoutingDefaultsBlock(FileBlock):
    strategy: Strategy | None = None
    session_affinity: Flag | None = None
    session_affinity_ttl: Duration | None = None
    stay_after_failover: Flag | None = None
    native_first: Flag | None = None
    params: Params | None = None
    timeouts: TimeoutsBlock = TimeoutsBlock()
    failover: FailoverPolicyBlock = FailoverPolicyBlock()


class RoutingBlock(FileBlock):
    defaults: RoutingDefaultsBlock = RoutingDefaultsBlock()
    model_pools: dict[Name, PoolBlock] = {}


class AliasTargetBlock(FileBlock):
    provider: ProviderName
    model: Name
    priority: Whole = 1
    weight: Whole = 1


class AliasBlock(FileBlock):
    target: Name = ""
    targets: Annotated[list[AliasTargetBlock], Field(min_length=1)] = []
    strategy: Strategy = ""
    enabled: Flag = True


Fallbacks = Annotated[list[Target], Field(min_length=1, max_length=MOST_FALLBACKS)]


class FailoverBlock(FileBlock):
    enabled: Flag | None = None
    rules_path: Text | None = None
    rules: dict[Target, Fallbacks] = {}
    disabled_rules: list[Target] = []
    disabled_models: list[Target] | None = None


class ModelsBlock(FileBlock):
    configured_provider_models_mode: InventoryMode | None = None


class KeyBlock(FileBlock):
    name: Annotated[Text, Field(min_length=1, max_length=100)]
    key: Secret
    team: Annotated[Text, Field(max_length=100)] = ""
    models: list[Target] = []
    user_path: UserPath = ""
    scopes: Annotated[list[Scope], Field(min_length=1)] = ["inference"]
    rpm: Whole | None = None
    tpm: Whole | None = None
    max_parallel: Whole | None = None
    enabled: Flag = True
    expires_at: Moment | None = None
    capture: CaptureBlock = CaptureBlock()


class ConfigurationBlock(FileBlock):
    """The whole file."""

    providers: dict[ProviderName, ProviderBlock] = {}
    models: ModelsBlock = ModelsBlock()
    routing: RoutingBlock = RoutingBlock()
    aliases: dict[
        Name,
        Annotated[
            AliasBlock,
            BeforeValidator(lambda value: {"target": value} if isinstance(value, str) else value),
        ],
    ] = {}
    failover: FailoverBlock = FailoverBlock()
    bench: BenchBlock = BenchBlock()
    alerts: AlertsBlock = AlertsBlock()
    capture: CaptureBlock = CaptureBlock()
    keys: list[KeyBlock] = []
