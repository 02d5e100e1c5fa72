"""The provider that the engine talks to: one package's handlers behind Pulumi's gRPC service.

- All instances of a package (one per account) share this servicer and are told apart by their
  connection, `context.peer()`: requests carry no other reference to the instance.
- A request is never logged and never quoted in an error: it holds secrets in plain text.
- The cloud's own error reaches the user, without a traceback.
"""

from __future__ import annotations

import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import grpc
from google.protobuf import any_pb2
from google.protobuf.empty_pb2 import Empty
from google.rpc import status_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2_grpc
from pulumi.runtime.proto import provider_pb2 as wire

from iamrange.engine.check import checked_inputs
from iamrange.engine.diff import changed_inputs, detailed
from iamrange.engine.package import ConfigurationError, Package, Session, parse_config
from iamrange.engine.properties import UNKNOWN, PropertyError, decode, encode, has_unknown
from iamrange.engine.resource import (
    Change,
    PartlyCreatedError,
    Properties,
    ProviderError,
    ResourceType,
)
from iamrange.engine.state import merged_tags, settled, wanted

if TYPE_CHECKING:
    from collections.abc import Mapping

# connections of ended engines are never reported; far more than one run has instances
_MOST_SESSIONS = 256
_NO_TYPE = "the embedded {package} provider has no resource type {token}"


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """Serves one package to the engine."""

    def __init__(self, package: Package) -> None:
        """Serve the package; nothing is opened before the engine configures an instance."""
        self._package = package
        self._sessions: dict[str, Session] = {}
        self._lock = threading.Lock()

    # -- the plugin itself

    def Handshake(self, _request: Any, _context: Any) -> wire.ProviderHandshakeResponse:  # noqa: ANN401, N802 - the generated interface
        """Agree on the protocol: plain values in, secrets marked on the way out."""
        return wire.ProviderHandshakeResponse(
            accept_secrets=False, accept_resources=False, accept_outputs=False
        )

    def Attach(self, _request: Any, _context: Any) -> Empty:  # noqa: ANN401, N802 - the generated interface
        """Accept the engine's address, which these providers do not need."""
        return Empty()

    def GetPluginInfo(self, _request: Any, _context: Any) -> plugin_pb2.PluginInfo:  # noqa: ANN401, N802 - the generated interface
        """Report the SDK version that this provider is checked against."""
        return plugin_pb2.PluginInfo(version=self._package.version)

    def GetSchema(self, _request: Any, context: Any) -> NoReturn:  # noqa: ANN401, N802 - the generated interface
        """Refuse: the schema is in the installed SDK, there is no document of it."""
        context.abort(
            grpc.StatusCode.UNIMPLEMENTED,
            f"the embedded {self._package.name} provider has no schema document, so no code can be"
            " generated; import with --generate-code=false",
        )
        raise AssertionError("abort returned")

    def GetMapping(self, _request: Any, _context: Any) -> wire.GetMappingResponse:  # noqa: ANN401, N802 - the generated interface
        """Answer that no other tool's configuration is mapped."""
        return wire.GetMappingResponse()

    def GetMappings(self, _request: Any, _context: Any) -> wire.GetMappingsResponse:  # noqa: ANN401, N802 - the generated interface
        """Answer that no other tool's configuration is mapped."""
        return wire.GetMappingsResponse()

    def Cancel(self, _request: Any, _context: Any) -> Empty:  # noqa: ANN401, N802 - the generated interface
        """Let what is in flight finish: every operation here is short."""
        return Empty()

    # -- configuration

    def CheckConfig(self, request: wire.CheckRequest, _context: Any) -> wire.CheckResponse:  # noqa: ANN401, N802 - the generated interface
        """Check a provider's configuration against the SDK and against what is implemented."""
        problems = self._package.config_problems(decode(request.news))
        failures = [wire.CheckFailure(property=p.property, reason=p.reason) for p in problems]
        return wire.CheckResponse(inputs=request.news, failures=failures)

    def DiffConfig(self, request: wire.DiffRequest, _context: Any) -> wire.DiffResponse:  # noqa: ANN401, N802 - the generated interface
        """Say which configuration changed; it never forces the resources' replacement."""
        old, new = decode(request.old_inputs), decode(request.news)
        changed = sorted(k for k in old.keys() | new.keys() if old.get(k) != new.get(k))
        some = wire.DiffResponse.DIFF_SOME if changed else wire.DiffResponse.DIFF_NONE
        return wire.DiffResponse(changes=some, diffs=changed)

    def Configure(self, request: wire.ConfigureRequest, context: Any) -> wire.ConfigureResponse:  # noqa: ANN401, N802 - the generated interface
        """Open the session of the instance behind this connection."""
        config = parse_config(self._package.name, decode(request.args))
        try:
            session = self._package.open_session(config)
        except ConfigurationError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        else:
            with self._lock:
                self._sessions.pop(context.peer(), None)
                self._sessions[context.peer()] = session
                while len(self._sessions) > _MOST_SESSIONS:
                    # the oldest: its engine ended long ago
                    del self._sessions[next(iter(self._sessions))]
        return wire.ConfigureResponse(
            acceptSecrets=False, supportsPreview=True, acceptResources=False, acceptOutputs=False
        )

    def _session(self, context: Any) -> Any:  # noqa: ANN401 - the package's own session type
        with self._lock:
            session = self._sessions.get(context.peer())
        if session is None:
            context.abort(
                grpc.StatusCode.FAILED_PRECONDITION,
                f"the embedded {self._package.name} provider was not configured on this connection",
            )
        return session

    def _type(self, token: str, context: Any) -> ResourceType[Any]:  # noqa: ANN401 - grpc is untyped
        kind = self._package.types.get(token)
        if kind is None:
            message = _NO_TYPE.format(package=self._package.name, token=token)
            context.abort(grpc.StatusCode.UNIMPLEMENTED, message)
            raise AssertionError("abort returned")
        return kind

    # -- resources

    def Check(self, request: wire.CheckRequest, context: Any) -> wire.CheckResponse:  # noqa: ANN401, N802 - the generated interface
        """Check and complete a resource's inputs."""
        try:
            inputs, problems = checked_inputs(self._package, _type_of(request), request)
        except Exception as error:  # noqa: BLE001 - shown to the user, by kind
            self._abort(error, context)
        failures = [wire.CheckFailure(property=p.property, reason=p.reason) for p in problems]
        return wire.CheckResponse(inputs=encode(inputs), failures=failures)

    def Diff(self, request: wire.DiffRequest, context: Any) -> wire.DiffResponse:  # noqa: ANN401, N802 - the generated interface
        """Compare the inputs of the last run with the new ones, by meaning."""
        kind = self._type(_type_of(request), context)
        state, new = decode(request.olds), decode(request.news)
        old = decode(request.old_inputs) if request.HasField("old_inputs") else state
        changed = changed_inputs(kind, old, new)
        replacing = changed & kind.force_new
        if kind.also_force_new is not None:
            replacing |= changed & kind.also_force_new(old, new)
        if kind.update is None:
            replacing = changed
        if kind.tagging and kind.tagging.own not in changed:
            session = self._session(context)
            tags = merged_tags(kind, new, session.default_tags)
            if (state.get(kind.tagging.all) or {}) != tags:
                changed |= {kind.tagging.all}
                old = {**old, kind.tagging.all: state.get(kind.tagging.all)}
                new = {**new, kind.tagging.all: tags}
        some = wire.DiffResponse.DIFF_SOME if changed else wire.DiffResponse.DIFF_NONE
        return wire.DiffResponse(
            changes=some,
            diffs=sorted(changed),
            replaces=sorted(replacing),
            detailedDiff=detailed(old, new, changed, replacing),
            hasDetailedDiff=True,
            deleteBeforeReplace=bool(replacing) and _collides(kind, request.urn, old, new),
        )

    def Create(self, request: wire.CreateRequest, context: Any) -> wire.CreateResponse:  # noqa: ANN401, N802 - the generated interface
        """Make a resource and read it back."""
        kind = self._type(_type_of(request), context)
        session = self._session(context)
        inputs = decode(request.properties)
        if request.preview:
            preview = _previewed(kind, session, inputs, {}, kind.computed | kind.kept)
            return wire.CreateResponse(properties=encode(preview, secret=kind.secrets))
        identifier, keep = "", {}
        try:
            created = kind.create(session, wanted(kind, inputs, session.default_tags))
            identifier, keep = created.identifier, dict(created.keep)
            state = self._read_back(kind, session, identifier, inputs, keep)
        except PartlyCreatedError as error:
            keep = dict(error.keep)
            self._half_created(kind, session, error.identifier, inputs, keep, error.cause, context)
        except Exception as error:  # noqa: BLE001 - shown to the user, by kind
            if identifier:
                self._half_created(kind, session, identifier, inputs, keep, error, context)
            self._abort(error, context)
        secret = kind.secrets
        return wire.CreateResponse(id=identifier, properties=encode(state, secret=secret))

    def Read(self, request: wire.ReadRequest, context: Any) -> wire.ReadResponse:  # noqa: ANN401, N802 - the generated interface
        """Read a resource for a refresh or an import; an empty answer says that it is gone."""
        kind = self._type(_type_of(request), context)
        session = self._session(context)
        state, inputs = decode(request.properties), decode(request.inputs)
        importing = not state and not inputs
        asked = state or dict.fromkeys(kind.exclusive)
        try:
            live = kind.read(session, request.id, asked)
        except Exception as error:  # noqa: BLE001 - shown to the user, by kind
            self._abort(error, context)
        if live is None:
            return wire.ReadResponse()
        new_inputs, new_state = settled(
            kind, live, inputs, state, session.default_tags, importing=importing
        )
        return wire.ReadResponse(
            id=request.id,
            properties=encode(new_state, secret=kind.secrets),
            inputs=encode(new_inputs, secret=kind.secrets),
        )

    def Update(self, request: wire.UpdateRequest, context: Any) -> wire.UpdateResponse:  # noqa: ANN401, N802 - the generated interface
        """Change what differs and read the resource back."""
        kind = self._type(_type_of(request), context)
        session = self._session(context)
        state, new = decode(request.olds), decode(request.news)
        old = decode(request.old_inputs)
        if request.preview:
            preview = _previewed(kind, session, new, state, kind.volatile)
            return wire.UpdateResponse(properties=encode(preview, secret=kind.secrets))
        # against the state too: after a creation that failed half-way the inputs are the new ones
        changed = changed_inputs(kind, old, new) | changed_inputs(kind, state, new)
        changed -= kind.settings - changed_inputs(kind, old, new)
        full = wanted(kind, new, session.default_tags)
        if kind.tagging and (state.get(kind.tagging.all) or {}) != full[kind.tagging.all]:
            changed |= {kind.tagging.all}
        try:
            if kind.update is not None:
                kind.update(session, Change(request.id, kind.filled(state), full, changed))
            result = self._read_back(kind, session, request.id, new, state)
        except Exception as error:  # noqa: BLE001 - shown to the user, by kind
            self._abort(error, context)
        return wire.UpdateResponse(properties=encode(result, secret=kind.secrets))

    def Delete(self, request: wire.DeleteRequest, context: Any) -> Empty:  # noqa: ANN401, N802 - the generated interface
        """Delete a resource; one that is gone already is deleted."""
        kind = self._type(_type_of(request), context)
        session = self._session(context)
        state = {**decode(request.old_inputs), **decode(request.properties)}
        try:
            kind.delete(session, request.id, kind.filled(state))
        except Exception as error:  # noqa: BLE001 - shown to the user, by kind
            self._abort(error, context)
        return Empty()

    # -- functions

    def Invoke(self, request: wire.InvokeRequest, context: Any) -> wire.InvokeResponse:  # noqa: ANN401, N802 - the generated interface
        """Call a function."""
        package = self._package
        function = package.functions.get(request.tok)
        if function is None:
            reason = (
                f"the embedded {package.name} provider has no function {request.tok};"
                f" has {sorted(package.functions)}"
            )
            return wire.InvokeResponse(failures=[wire.CheckFailure(reason=reason)])
        arguments = decode(request.args)
        failures = [
            wire.CheckFailure(
                property=name,
                reason=f"not implemented by the embedded provider; has {sorted(function.inputs)}",
            )
            for name in sorted(arguments.keys() - function.inputs)
        ]
        failures += [
            wire.CheckFailure(property=name, reason="required, but missing")
            for name in sorted(function.required - arguments.keys())
        ]
        if failures:
            return wire.InvokeResponse(failures=failures)
        if has_unknown(arguments):
            return wire.InvokeResponse()
        session = self._session(context)
        try:
            result = function.call(session, arguments)
        except Exception as error:  # noqa: BLE001 - shown to the user, by kind
            self._abort(error, context)
        return wire.InvokeResponse(**{"return": encode(result, secret=function.secrets)})

    # -- the steps that several of these share

    def _read_back(
        self,
        kind: ResourceType[Any],
        session: Session,
        identifier: str,
        inputs: Properties,
        old_state: Properties,
    ) -> dict[str, Any]:
        live = kind.read(session, identifier, {**old_state, **inputs})
        if live is None:
            raise ProviderError(f"{kind.token} {identifier} is not there when read back")
        lost = sorted(
            key
            for key in live.keys() & inputs.keys() & kind.inputs
            if kind.value(live, key) != kind.value(inputs, key)
        )
        if lost:
            # a store that takes an input and drops it would make every later run differ
            raise ProviderError(f"{kind.token} {identifier}: the cloud did not keep {lost}")
        _, state = settled(kind, live, inputs, old_state, session.default_tags)
        return state

    def _half_created(  # noqa: PLR0913, PLR0917 - all of it goes into the engine's message
        self,
        kind: ResourceType[Any],
        session: Session,
        identifier: str,
        inputs: Properties,
        keep: Properties,
        cause: Exception,
        context: Any,  # noqa: ANN401 - grpc is untyped
    ) -> NoReturn:
        """End the call so that the engine keeps the resource and completes it on the next run."""
        try:
            state = self._read_back(kind, session, identifier, inputs, keep)
        except Exception:  # noqa: BLE001 - the first failure is the one to show
            state = {**keep}
        _, reason = self._described(cause)
        detail = any_pb2.Any()
        detail.Pack(
            wire.ErrorResourceInitFailed(
                id=identifier,
                properties=encode(state, secret=kind.secrets),
                inputs=encode(inputs),
                reasons=[reason],
            )
        )
        status = status_pb2.Status(
            code=grpc.StatusCode.UNKNOWN.value[0],
            message=f"{identifier} was created, but is not complete: {reason}",
            details=[detail],
        )
        context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        context.abort(grpc.StatusCode.UNKNOWN, status.message)
        raise AssertionError("abort returned")

    def _abort(self, error: Exception, context: Any) -> NoReturn:  # noqa: ANN401 - grpc is untyped
        code, message = self._described(error)
        context.abort(code, message)
        raise AssertionError("abort returned")

    def _described(self, error: Exception) -> tuple[grpc.StatusCode, str]:
        if isinstance(error, ProviderError | ConfigurationError | PropertyError):
            return grpc.StatusCode.FAILED_PRECONDITION, str(error)
        known = self._package.describe(error)
        if known is not None:
            return known
        # a fault of ours: where it happened helps, the values in its text might be secret
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(frame.filename).name}:{frame.lineno}"
        message = f"the embedded {self._package.name} provider broke: {type(error).__name__}"
        return grpc.StatusCode.INTERNAL, f"{message} at {where}"


def _type_of(request: Any) -> str:  # noqa: ANN401 - any of the resource requests
    """Return the type token; the URN has it in every engine version."""
    return request.type or str(request.urn).split("::")[2].rsplit("$", 1)[-1]


def _collides(kind: ResourceType[Any], urn: str, old: Properties, new: Properties) -> bool:
    """Whether the replacement could not exist beside the old resource."""
    if kind.singleton or kind.naming is None:
        return kind.singleton
    key = kind.naming.input
    if old.get(key) != new.get(key):
        return False
    # a generated name is made anew for the replacement
    if kind.naming.prefix and new.get(kind.naming.prefix) is not None:
        return False
    prefix = kind.naming.form.format(urn.rsplit("::", 1)[-1] + kind.naming.separator)
    return not str(new.get(key, "")).lower().startswith(prefix.lower())


def _previewed(
    kind: ResourceType[Any],
    session: Session,
    inputs: Properties,
    state: Properties,
    unknown: frozenset[str],
) -> dict[str, Any]:
    """Return the state as it will be, as far as it is known."""
    result = {key: state[key] for key in kind.computed | kind.kept if key in state}
    result |= dict.fromkeys(unknown, UNKNOWN)
    result |= wanted(kind, inputs, session.default_tags)
    if kind.tagging:
        tags: Mapping[str, Any] = dict.fromkeys(kind.tagging.also, result[kind.tagging.all])
        result |= tags
    return result
