"""Commands about material. Quantities are integers of mg."""

from commands.message import message


@message
class ReceiveMaterial:
    """An operator books material in; a lot that is new to the node is opened first."""

    node_id: str
    material: str
    lot: str
    quantity_mg: int
    density_ug_per_mm3: int = 1240


@message
class ReserveMaterial:
    """The processes hold material for a build."""

    inventory_id: str
    build_id: str
    quantity_mg: int


@message
class ReleaseMaterial:
    """The processes give a reservation back."""

    inventory_id: str
    build_id: str


@message
class ConsumeMaterial:
    """The processes book what a finished build used."""

    inventory_id: str
    build_id: str
    quantity_mg: int


@message
class WasteMaterial:
    """The processes book what a lost build used."""

    inventory_id: str
    build_id: str
    quantity_mg: int
    reason: str


@message
class CountMaterial:
    """An operator counted what lies there."""

    inventory_id: str
    counted_mg: int


@message
class CorrectMaterial:
    """An operator corrects the books."""

    inventory_id: str
    difference_mg: int
    reason: str


@message
class SendTransfer:
    """An operator sends material to another node's lot; the arrival is the second step."""

    inventory_id: str
    transfer_id: str
    to_inventory_id: str
    quantity_mg: int


@message
class ReceiveTransfer:
    """The material arrived."""

    inventory_id: str
    transfer_id: str
    from_inventory_id: str
    quantity_mg: int


@message
class CorrectCount:
    """An operator corrects an earlier stock-take; ``position`` is that of its event."""

    inventory_id: str
    position: int
    counted_mg: int
    reason: str


@message
class ReassignConsumption:
    """An operator says from which lot a build's material had truly come."""

    build_id: str
    from_inventory_id: str
    to_inventory_id: str
    reason: str
