"""examples/cert-manager: the manifests fit their schemas, each other, and certpin's options."""

from __future__ import annotations

import copy
import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from certpin.cli.main import cli
from certpin.cli.rotate import webhook_server
from scripts import npm
from tests.cli._admission import HOST, certificate_request, csr
from tests.servers._run import require

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[4]
FOLDER = ROOT / "examples/cert-manager"
PACKAGES = (
    "kubernetes-models",
    "@kubernetes-models/apimachinery",
    "@kubernetes-models/cert-manager",
    "@kubernetes-models/gateway-api",
)


def manifests() -> list[Any]:
    texts = [file.read_text(encoding="utf-8") for file in sorted(FOLDER.glob("*.yaml"))]
    return [each for text in texts for each in yaml.safe_load_all(text)]


def of_kind(kind: str) -> list[Any]:
    return [each for each in manifests() if each["kind"] == kind]


def one(kind: str) -> Any:
    (found,) = of_kind(kind)
    return found


def problems(objects: list[Any]) -> list[list[str]]:
    """Validate objects with the schemas of Kubernetes and of cert-manager's CRDs.

    Return the list of schema errors of each object, which is empty for a valid one.
    """
    program = Path(__file__).with_name("manifests.mjs")
    folders = [f"{package}={npm.ensure(package)}" for package in PACKAGES]
    done = subprocess.run(
        [require("node"), program, *folders],
        input=json.dumps(objects),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[list[str]] = json.loads(done.stdout)
    return found


@pytest.mark.slow
@pytest.mark.peer("npm", "node")
def test_the_manifests_fit_the_schemas() -> None:
    objects = manifests()
    kinds = {each["kind"] for each in objects}
    assert kinds >= {"ValidatingWebhookConfiguration", "Deployment", "Service", "NetworkPolicy"}
    assert kinds >= {"Certificate", "Issuer", "Namespace"}
    assert problems(objects) == [[] for _ in objects]


@pytest.mark.slow
@pytest.mark.peer("npm", "node")
def test_the_requests_of_the_tests_fit_the_schema() -> None:
    from certpin.lab.authority import new_key

    assert problems([certificate_request(csr(new_key(), HOST))]) == [[]]


WRONG: dict[str, tuple[str, Callable[[Any], None], str]] = {
    "a misspelt field": (
        "Certificate",
        lambda each: each["spec"].update(secretNam="x"),
        "/spec/secretNam is unknown",
    ),
    "a missing field": ("Certificate", lambda each: each["spec"].pop("secretName"), "secretName"),
    "a wrong value": (
        "Certificate",
        lambda each: each["spec"]["privateKey"].update(rotationPolicy="Sometimes"),
        "/spec/privateKey/rotationPolicy",
    ),
    "a wrong type": (
        "Deployment",
        lambda each: each["spec"].update(replicas="2"),
        "/spec/replicas",
    ),
    "a field of a container": (
        "Deployment",
        lambda each: each["spec"]["template"]["spec"]["containers"][0].update(imag="x"),
        "/spec/template/spec/containers/0/imag is unknown",
    ),
    "a field of a webhook": (
        "ValidatingWebhookConfiguration",
        lambda each: each["webhooks"][0].update(failurePolcy="Fail"),
        "/webhooks/0/failurePolcy is unknown",
    ),
}


@pytest.mark.slow
@pytest.mark.peer("npm", "node")
def test_a_wrong_manifest_is_found() -> None:
    broken, expected = [], []
    for kind, change, problem in WRONG.values():
        manifest = copy.deepcopy(of_kind(kind)[0])
        change(manifest)
        broken.append(manifest)
        expected.append(problem)
    found = problems(broken)
    for problem, messages in zip(expected, found, strict=True):
        assert any(problem in each for each in messages), (problem, messages)


def test_it_fails_closed() -> None:
    (webhook,) = one("ValidatingWebhookConfiguration")["webhooks"]
    assert (webhook["failurePolicy"], webhook["sideEffects"]) == ("Fail", "None")
    assert webhook["admissionReviewVersions"] == ["v1"]
    assert webhook["timeoutSeconds"] > webhook_server.PATIENCE
    (rule,) = webhook["rules"]
    assert set(rule["operations"]) == {"CREATE", "UPDATE"}
    assert (rule["apiGroups"], rule["apiVersions"]) == (["cert-manager.io"], ["v1"])
    assert rule["resources"] == ["certificaterequests"]


def test_its_own_certificate_does_not_wait_for_it() -> None:
    namespace = one("Namespace")["metadata"]["name"]
    (webhook,) = one("ValidatingWebhookConfiguration")["webhooks"]
    (expression,) = webhook["namespaceSelector"]["matchExpressions"]
    assert (expression["operator"], expression["values"]) == ("NotIn", [namespace])
    own = [each for each in of_kind("Certificate") if each["metadata"]["namespace"] == namespace]
    assert len(own) == 2


def test_the_parts_name_each_other() -> None:
    (webhook,) = one("ValidatingWebhookConfiguration")["webhooks"]
    service, deployment = one("Service"), one("Deployment")
    address = webhook["clientConfig"]["service"]
    meta = service["metadata"]
    assert (address["name"], address["namespace"]) == (meta["name"], meta["namespace"])
    assert address["path"] == webhook_server.REVIEW_PATH
    names = {n for each in of_kind("Certificate") for n in each["spec"].get("dnsNames", [])}
    assert f"{meta['name']}.{meta['namespace']}.svc" in names
    template = deployment["spec"]["template"]
    labels = template["metadata"]["labels"]
    assert service["spec"]["selector"] == labels
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert one("NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == labels
    (container,) = template["spec"]["containers"]
    assert (container["ports"][0]["name"], container["ports"][0]["containerPort"]) == (
        "https",
        8443,
    )
    assert one("NetworkPolicy")["spec"]["ingress"] == [
        {"ports": [{"port": 8443, "protocol": "TCP"}]}
    ]
    secrets = {each["spec"]["secretName"] for each in of_kind("Certificate")}
    volumes = {each["name"]: each for each in template["spec"]["volumes"]}
    assert volumes["tls"]["secret"]["secretName"] in secrets
    injected = one("ValidatingWebhookConfiguration")["metadata"]["annotations"]
    named = injected["cert-manager.io/inject-ca-from"].split("/")[1]
    assert named in {each["metadata"]["name"] for each in of_kind("Certificate")}
    mounted = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
    text = " ".join(container["args"])
    assert f"--file={mounted['pins']}/pins.toml" in text
    assert f"--tls-certificate={mounted['tls']}/tls.crt --tls-key={mounted['tls']}/tls.key" in text
    probes = {container[name]["httpGet"]["path"] for name in ("livenessProbe", "readinessProbe")}
    assert probes == {webhook_server.HEALTH_PATH, webhook_server.READY_PATH}


def test_the_container_is_confined_and_its_command_exists(tmp_path: Path) -> None:
    pod = one("Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert all(mount["readOnly"] for mount in container["volumeMounts"])
    files = {"/tls/tls.crt": tmp_path / "tls.crt", "/tls/tls.key": tmp_path / "tls.key"}
    words: list[str] = container["args"]
    for path, file in files.items():
        file.touch()
        words = [word.replace(path, str(file)) for word in words]
    command: Any = cli
    context = None
    name, rest = "certpin", words
    while hasattr(command, "get_command"):
        context = command.context_class(command, parent=context, info_name=name)
        name, rest = rest[0], rest[1:]
        command = command.get_command(context, name)
    command.make_context(name, rest, parent=context)


def test_pinned_keys_are_kept() -> None:
    (pinned,) = [each for each in of_kind("Certificate") if each["metadata"]["name"] == "api"]
    assert pinned["spec"]["privateKey"]["rotationPolicy"] == "Never"
