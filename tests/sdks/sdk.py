"""The SDKs: how a worker of each is started. They all take the arguments of tests/real/workers/temporal_worker.py."""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from harness.processes import REPOSITORY, WORKERS

BUILT = REPOSITORY / ".parts" / "sdks"


@dataclass(frozen=True)
class Sdk:
    name: str
    command: tuple
    # What has to be there: a file that `make test-sdks` builds.
    needs: Path | None = None
    # The arguments that make it serve activities alone.
    activities_only: tuple = ("--serves", "activities")

    @property
    def missing(self):
        """Why it cannot run here, or None."""
        if self.needs is not None and not self.needs.exists():
            return f"no worker of the {self.name} SDK in .parts/sdks: `make test-sdks` builds it where its toolchain is"
        if shutil.which(str(self.command[0])) is None:
            return f"no {self.command[0]} on this machine"
        return None


# A small heap and no second compiler: thirteen of them start at a time, and none has much to do.
_JVM = ("-Xmx96m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")

SDKS = {
    sdk.name: sdk
    for sdk in (
        Sdk("python", (sys.executable, "-u", WORKERS / "temporal_worker.py"), activities_only=("--no-workflows",)),
        Sdk("typescript", ("node", BUILT / "typescript" / "worker.js"), BUILT / "typescript" / "stamp"),
        Sdk("go", (BUILT / "go" / "worker",), BUILT / "go" / "stamp"),
        Sdk("java", ("java", *_JVM, "-jar", BUILT / "java" / "worker.jar"), BUILT / "java" / "stamp"),
    )
}
