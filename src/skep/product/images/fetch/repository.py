"""A repository as it is reached from inside one sandbox: its door, its server's key, its credential, git's commands."""

import re

from skep.kernel.errors import NotFoundError
from skep.kernel.settings import MIB
from skep.product.gateway.model import Policy, Rule
from skep.product.images import failures, refusals
from skep.product.images.environment import BASE
from skep.product.images.failures import BuildFailedError
from skep.product.images.fetch import addresses as sources
from skep.product.images.fetch import git, host_keys, listing
from skep.product.images.fetch.credentials import Credential, CredentialKind
from skep.product.images.fetch.host_keys import HostKey
from skep.product.images.fetch.keyring import Keyring
from skep.product.images.model import GitSource
from skep.product.images.options import BuildOptions
from skep.product.images.workshop import AttemptLostError, Ran, Workshop
from skep.product.sandboxes.model import ExitReason

_HASH = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})")
_MAX_KEYS = 16 * 1024
_REMOVE_S = 10.0


class Repository:
    """One repository; every failure that is the user's is a `BuildFailedError`.

    The credential is there from `open` to `close`, in the sandbox's memory; in between only git, ssh and programs of
    Skep's run. After a failure the sandbox is destroyed with it.
    """

    def __init__(
        self,
        workshop: Workshop,
        options: BuildOptions,
        source: GitSource,
        *,
        project_id: str,
        keyring: Keyring,
        credential: Credential | None,
    ) -> None:
        self._workshop = workshop
        self._options = options
        self._source = source
        self._project_id = project_id
        self._keyring = keyring
        self._credential = credential
        self._origin = sources.remote(source.url, options.leave)
        self._keys: tuple[HostKey, ...] = ()
        workshop.log.hide(() if credential is None else credential.hidden)

    async def open(self) -> None:
        """Let the door lead to the repository's host, and give git what it needs to be let in there."""
        origin = self._origin
        here = Rule(host=origin.host, port=origin.port)
        policy = Policy(allow=(here,), private=self._options.allow_private, advice=refusals.while_fetching(here))
        # What comes in is packed and costs at the most twice its size; the rest is caught when it is listed.
        self._workshop.open_to(policy, bytes_down=2 * self._options.source_limit_bytes)
        if origin.scheme == "ssh":
            await self._put(git.SSH_PROXY, listing.program("through_door"))
            await self._know()
        for command in git.prepare(origin):
            self._expect(await self._git(command))
        if self._credential is not None:
            if self._credential.kind is CredentialKind.TOKEN:
                await self._put(git.CREDENTIAL_HELPER, listing.program("git_credential"))
            await self._put(git.CREDENTIAL, self._credential.text.reveal().encode(), mode=0o400)

    async def fetch(self) -> str:
        """Fetch what the source names; return the full hash of the commit."""
        source = self._source
        ran = await self._git(git.fetch_shallow(self._origin, source.ref))
        if ran.ok:
            return await self._resolve(("FETCH_HEAD",))
        may_be_commit = source.ref is not None and git.is_commit(source.ref)
        if self._workshop.over_limit or not failures.wants_everything(ran.stderr, may_be_commit=may_be_commit):
            await self._expect_reached(ran)
        await self._workshop.log.say("The server cannot give that state alone: fetching all branches and tags.")
        await self._expect_reached(await self._git(git.fetch_all(self._origin)))
        return await self._resolve(git.revisions(source.ref))

    async def latest(self) -> str:
        """Return the commit that the source's ref stands for at the server now, without fetching it."""
        ref = self._source.ref
        ran = await self._git(git.list_remote(self._origin, ref))
        await self._expect_reached(ran)
        if commit := git.listed(ran.stdout, ref):
            return commit
        if ref is not None and git.is_commit(ref):
            raise BuildFailedError(failures.no_name(ref))
        raise BuildFailedError(failures.no_ref(self._source))

    async def close(self) -> None:
        """Take the credential away; the door leads nowhere any more."""
        self._workshop.open_to(Policy())
        if self._credential is None:
            return
        ran = await self._workshop.run(git.forget(), env=BASE, timeout_s=_REMOVE_S, cwd="/")
        if not ran.ok:
            raise AttemptLostError("the repository's credential could not be taken out of the sandbox")

    async def check_out(self, commit: str) -> None:
        """Put the commit's tree, or the source's folder of it, into /app."""
        for command in git.check_out(self._origin, commit, self._source.path):
            ran = await self._git(command)
            if not ran.ok and self._source.path and "read-tree" in command:
                raise BuildFailedError(failures.no_path(self._source.path))
            self._expect(ran)

    # ---- the server's key

    async def _know(self) -> None:
        """Have ssh believe only what is known of the server; a server that nobody knows is looked at first."""
        origin = self._origin
        trusted = await self._keyring.trusted(self._project_id, origin)
        if not trusted.keys:
            key = await self._look_at_key()
            trusted = await self._keyring.learn(self._project_id, origin, key)
            await self._workshop.log.say(
                f"{origin.host}:{origin.port} was not known yet: its key {key.fingerprint} ({key.type}) is kept, and "
                "from now on this project takes no other from it. Compare it with what its operator says."
            )
        self._keys = trusted.keys
        text = host_keys.render(origin.host, origin.port, trusted.keys)
        await self._put(git.KNOWN_HOSTS, text.encode())

    async def _look_at_key(self) -> HostKey:
        """Return the key that the server shows; no credential is in the sandbox, or none is offered."""
        workshop = self._workshop
        command = git.look_at_key(self._origin)
        ran = await workshop.run(command, env=BASE, timeout_s=self._options.git_timeout_s, cwd="/", shown=False)
        written = bytearray()
        try:
            async for data in workshop.driver.get(workshop.handle, git.FIRST_SEEN, limit=_MAX_KEYS):
                written += data
        except NotFoundError as error:
            if error.code == "sandbox_gone":
                raise
        key = host_keys.first_seen(written.decode("utf-8", "replace"))
        if key is None:
            self._expect(ran)
            raise BuildFailedError(failures.of_fetch(self._said(ran), self._source, workshop.refusal))
        return key

    async def _expect_reached(self, ran: Ran) -> None:
        """Raise what a failed conversation with the server means."""
        if not ran.ok and self._origin.scheme == "ssh" and failures.is_host_key(ran.stderr):
            shown = host_keys.shown_fingerprint(ran.stderr) or (await self._look_at_key()).fingerprint
            trusted = await self._keyring.trusted(self._project_id, self._origin)
            known = tuple(key.fingerprint for key in self._keys)
            raise BuildFailedError(failures.host_key_changed(self._origin, shown, known, seen=trusted.seen))
        self._expect(ran)

    # ---- parts

    async def _resolve(self, names: tuple[str, ...]) -> str:
        for name in names:
            ran = await self._git(git.resolve(self._origin, name), shown=False)
            if ran.ok and _HASH.fullmatch(commit := ran.stdout.strip()):
                return commit
        raise BuildFailedError(failures.no_ref(self._source))

    async def _put(self, path: str, data: bytes, *, mode: int = 0o600) -> None:
        await self._workshop.driver.put(self._workshop.handle, path, data, mode=mode)

    async def _git(self, command: tuple[str, ...], *, shown: bool = True) -> Ran:
        kind = None if self._credential is None else self._credential.kind
        env = git.environment(BASE, self._origin, kind)
        return await self._workshop.run(command, env=env, timeout_s=self._options.git_timeout_s, shown=shown)

    def _said(self, ran: Ran) -> str:
        """Return a command's complaints, without what must not be seen: a server may repeat what it was shown."""
        return self._workshop.log.clean(ran.stderr)

    def _expect(self, ran: Ran) -> None:
        if ran.ok:
            return
        if self._workshop.over_limit or "no space left on device" in ran.stderr.lower():
            raise BuildFailedError(failures.too_large(self._options.source_limit_mb, "repository_too_large"))
        if ran.exit.reason is ExitReason.TIMED_OUT:
            raise BuildFailedError(failures.timed_out(self._options.git_timeout_s, "Fetching the repository"))
        if ran.exit.reason is ExitReason.OUT_OF_MEMORY:
            raise BuildFailedError(failures.out_of_memory(self._options.limits.memory_bytes // MIB))
        raise BuildFailedError(failures.of_fetch(self._said(ran), self._source, self._workshop.refusal))
