"""A write side with one of everything in it, and a well-formed command of every name for it."""

from typing import Any

from domain.shared.identifiers import dispatch_id, lot_id
from tests.write_side import JOB, NO_FIGURES, ORG, PART, PROFILE, WriteSide, account_id

PROCESSES = "service/processes"
SUPERVISOR = "service/supervisor"
BRIDGE = "bridge/local"
ADMIN = "user/ada/admin"
DESIGNER = "user/anna/designer"
VENDOR = "user/vera/vendor"
OPERATOR = "user/otto/operator"
FILE = {"digest": "d" * 64, "size": 10, "format": "gcode", "name": "hook.gcode"}
SEEN = {
    "availability": "AVAILABLE",
    "execution": "READY",
    "emergency_stop": "ARMED",
    "conditions": [],
}


class StockedShop(WriteSide):
    """Anna's job with one part, Vera's virtual node on bridge ``local`` with a lot of PLA, a
    dispatch and a planned build, and Bea's account."""

    def __init__(self) -> None:
        super().__init__()
        self.job_id = self.send("SubmitJob", JOB, by=DESIGNER)["id"]
        self.part_id = self.send("OrderPart", self.order(), by=PROCESSES)["id"]
        self.node_id = self.registered(virtual=True)
        stock = {"node_id": self.node_id, "material": "PLA", "lot": "a", "quantity_mg": 1000}
        self.lot_id = self.send("ReceiveMaterial", stock, by=OPERATOR)["id"]
        self.dispatch_id = str(dispatch_id(self.part_id, 0))
        self.send("RequestDispatch", self.dispatch_request(), by=PROCESSES)
        self.build_id = self.send("PlanBuild", self.plan(), by=PROCESSES)["id"]
        self.account_id = self.send("OpenAccount", self.person("bea"), by=SUPERVISOR)["id"]
        self.organisation_id = self.send("FoundOrganisation", {"name": "S"}, by=SUPERVISOR)["id"]

    def registered(self, *, virtual: bool, by: str = VENDOR) -> str:
        """Another configured node."""
        node = {"name": "Prusa 1", "bridge": "local", "virtual": virtual}
        node_id = str(self.send("RegisterNode", node, by=by)["id"])
        self.send("ConfigureNode", {"node_id": node_id, "profile": PROFILE}, by=by)
        return node_id

    def order(self, line: int = 0) -> dict[str, Any]:
        rest = {"name": "Hook", "artifact": FILE, "material": "PLA", "quantity": 1}
        return {"job_id": self.job_id, "line": line, **rest}

    def dispatch_request(self, piece: int = 0) -> dict[str, Any]:
        return {"job_id": self.job_id, "part_id": self.part_id, "piece": piece, "work": {}}

    def plan(self, attempt: int = 1) -> dict[str, Any]:
        return {
            "job_id": self.job_id,
            "dispatch_id": self.dispatch_id,
            "attempt": attempt,
            "node_id": self.node_id,
            "pieces": [{"part_id": self.part_id, "piece": 0}],
            "program": FILE,
            "material": "PLA",
            "duration_ms": 1,
            "material_mm3": 1,
            "material_mg": 1,
        }

    def person(self, name: str) -> dict[str, Any]:
        mail = f"{name}@example.org"
        return {"mail": mail, "name": name, "password": "correct horse", "role": "viewer"}

    def prepared(self) -> None:
        """Validate the part, make the node ready."""
        self.send("ValidatePart", self.payloads()["ValidatePart"], by=PROCESSES)
        self.send("SchedulePart", {"part_id": self.part_id}, by=PROCESSES)
        self.send("ConnectMachine", {"node_id": self.node_id, "identity": {"f": 1}}, by=BRIDGE)
        self.send("ClearBed", {"node_id": self.node_id}, by=OPERATOR)

    def sent(self) -> int:
        """Bring the build as far as the queue; the epoch."""
        self.prepared()
        node, build = {"node_id": self.node_id}, {"build_id": self.build_id}
        epoch = int(self.send("ReserveNode", {**node, **build}, by=PROCESSES)["epoch"])
        held = {**build, "epoch": epoch, "inventory_id": self.lot_id}
        self.send("ReserveBuild", held, by=PROCESSES)
        self.send("SendBuild", build, by=PROCESSES)
        return epoch

    def accepted(self) -> int:
        """Bring the build to its bridge; the epoch."""
        epoch = self.sent()
        taken = {"build_id": self.build_id, "node_id": self.node_id, "epoch": epoch}
        self.send("AcceptBuild", taken, by=BRIDGE)
        return epoch

    def payloads(self) -> dict[str, dict[str, Any]]:
        """A well-formed command of every name about the things in this shop."""
        job, part = {"job_id": self.job_id}, {"part_id": self.part_id}
        node, build = {"node_id": self.node_id}, {"build_id": self.build_id}
        lot, dispatch = {"inventory_id": self.lot_id}, {"dispatch_id": self.dispatch_id}
        account = {"account_id": self.account_id}
        piece, attempt = {**part, "piece": 0}, {**dispatch, "attempt": 1}
        made, held, stock = {**piece, **build}, {**lot, **build}, {"quantity_mg": 5}
        moved = {**lot, "transfer_id": "t", **stock}
        why = {"reason": "looked again"}
        other = str(lot_id(self.node_id, "PLA", "a"))
        return {
            "FoundOrganisation": {"name": "Another"},
            "RenameOrganisation": {"organisation_id": ORG, "name": "Works"},
            "OpenAccount": self.person("carl"),
            "GrantRole": {**account, "role": "designer"},
            "RevokeRole": {**account, "role": "designer"},
            "ReplacePassword": {"account_id": account_id("anna"), "password": "battery staple"},
            "CloseAccount": account,
            "EraseSubject": {"subject_id": self.account_id, "reason": "asked for it"},
            "ConfirmErasure": {**account, "destroyed": ["data key"]},
            "SubmitJob": {"name": "More", "parts": [PART]},
            "ReprioritizeJob": {**job, "priority": 7},
            "CancelJob": job,
            "FollowPart": {**job, **part, "part_status": "VALIDATED"},
            "OrderPart": self.order(line=1),
            "ValidatePart": {
                **part,
                "process": "fdm",
                "program": FILE,
                "size_mm": [1.0, 1.0, 1.0],
                "duration_ms": 1,
                "material_mm3": 1,
                "material_mg": 1,
                "estimated_by": "program",
            },
            "RejectPart": {**part, "reasons": [{"code": "C", "message": "m", "remedy": "r"}]},
            "SchedulePart": part,
            "MissMachine": {**part, "reasons": {"BUSY": 1}},
            "QueuePiece": {**made, **node},
            "ReturnPiece": made,
            "StartPiece": made,
            "PausePiece": made,
            "MakePiece": made,
            "PassPiece": piece,
            "ScrapPiece": {**piece, "reason": "bad"},
            "CancelPiece": piece,
            "CancelPart": part,
            "FailPart": {**part, "reason": "gave up"},
            "PlanBuild": self.plan(attempt=2),
            "ReserveBuild": {**build, "epoch": 1, **lot},
            "SendBuild": build,
            "AcceptBuild": {**build, **node, "epoch": 1},
            "StartBuild": {**build, "epoch": 1},
            "ReportProgress": {**build, "percent": 5},
            "ReportPaused": build,
            "ReportResumed": build,
            "FinishBuild": {**build, **NO_FIGURES, "energy_source": "none"},
            "FailBuild": {**build, "reason": "jam"},
            "RequestBuildCancel": build,
            "ConfirmCancelled": build,
            "ReportOutcomeUnknown": {**build, "reason": "unplugged", "facts": {}},
            "InspectBuild": {**build, "passed": True, "by": "user/otto"},
            "RegisterNode": {"name": "Mill"},
            "ConfigureNode": {**node, "profile": PROFILE},
            "DecommissionNode": node,
            "ConnectMachine": {**node, "identity": {}},
            "DisconnectMachine": {**node, "reason": "unplugged"},
            "ObserveNode": {**node, **SEEN},
            "RecordEmergencyStop": {**node, "stopped_by": "user/otto", "latency_ms": 1},
            "ReserveNode": {**node, **build},
            "ReleaseNode": {**node, **build},
            "BeginExecution": {**node, **build},
            "EndExecution": {**node, **build, "outcome": "finished"},
            "ClearBed": node,
            "PauseNode": node,
            "ResumeNode": node,
            "ClearEmergencyStop": node,
            "BeginMaintenance": node,
            "EndMaintenance": node,
            "ReceiveMaterial": {**node, "material": "PLA", "lot": "a", **stock},
            "CountMaterial": {**lot, "counted_mg": 5},
            "CorrectMaterial": {**lot, "difference_mg": 5, "reason": "found"},
            "SendTransfer": {**moved, "to_inventory_id": other},
            "ReceiveTransfer": {**moved, "from_inventory_id": other},
            "ReserveMaterial": {**held, **stock},
            "ReleaseMaterial": held,
            "ConsumeMaterial": {**held, **stock},
            "WasteMaterial": {**held, **stock, "reason": "jam"},
            "RequestDispatch": self.dispatch_request(piece=1),
            "ChooseNode": {**attempt, **build, **node, **lot, "decision": {}},
            "RecordNodeReserved": {**attempt, "epoch": 1},
            "RecordMaterialReserved": {**attempt, **stock},
            "RecordSent": attempt,
            "RecordStarted": attempt,
            "RevertDispatch": {**attempt, "reason": "refused"},
            "FinishRevert": attempt,
            "CloseDispatch": {**dispatch, "outcome": "made"},
            "CorrectCount": {**lot, "position": 1, "counted_mg": 5, **why},
            "ReassignConsumption": {
                **build,
                "from_inventory_id": self.lot_id,
                "to_inventory_id": other,
                **why,
            },
            "CorrectFigures": {**build, "energy_j": 1, **why},
            "CorrectDowntime": {**node, "since": "2026-11-21T10:00:00Z", **why},
            "WithdrawDowntime": {**node, "since": "2026-11-21T10:00:00Z", **why},
            "CutOffPeriod": {"month": "2026-10"},
            "ClosePeriod": {"month": "2026-10", "position": 1, "figures": {}, "digest": ""},
        }
