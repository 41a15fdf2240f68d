"""What is sent to Serve for a plan."""

from mixstage.plan.serving import ServingPlan
from mixstage.serve.gateway import GatewayArguments, gateway
from mixstage.serve.operator.apps import Catalogue


def test_a_gateway_gets_what_its_plan_promises() -> None:
    serving = ServingPlan(deadline_s=3, max_body_kib=64, endpoints=("my_package.voyage:FAMILY",))
    config = Catalogue(serving, "store", "sqlite://", {}).gateway()
    arguments = GatewayArguments(**config["args"])
    assert arguments.endpoints == ("my_package.voyage:FAMILY",)
    registry, promised = gateway(arguments)._bound_deployment.init_args
    assert registry == "sqlite://"
    assert promised == ServingPlan(deadline_s=3, max_body_kib=64, endpoints=("my_package.voyage:FAMILY",))
