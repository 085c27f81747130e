"""The API client against a real kube-apiserver and etcd: objects, ownership of fields, watches through restarts and compaction,
who may do what, credentials that change, leaders."""
import base64
import json
import os
import signal

import pytest
from conftest import wait_for
from hosts.kubernetes import ControlPlane, Pki
from hosts.tcp_proxy import TcpProxy
from kube_probe import CONFIG_MAPS, DEPLOYMENTS, SECRETS, KubeError, KubeProbe


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with ControlPlane(tmp_path_factory.mktemp("kubernetes")) as cluster:
        yield cluster


@pytest.fixture
def connect(cluster, tmp_path):
    """connect(**access) → a probe, as the administrator by default. Stopped in order at the end."""
    probes = []

    def _connect(**access):
        probe = KubeProbe(tmp_path, **(access or {"kubeconfig": str(cluster.kubeconfig())}))
        probes.append(probe)
        return probe

    yield _connect
    for probe in probes:
        probe.stop()


@pytest.fixture
def ns(cluster, request):
    name = request.node.name.replace("_", "-").replace("[", "-").replace("]", "")[:60].strip("-")
    cluster.ask("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    return name


def config_map(ns, name, **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": ns}, "data": data}


def deployment(ns, name, replicas=1):
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": ns},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}},
                     "template": {"metadata": {"labels": {"app": name}},
                                  "spec": {"containers": [{"name": "main", "image": "example/image:1"}]}}}}


def fails(code, probe, do, **arguments):
    with pytest.raises(KubeError) as failure:
        probe.call(do, **arguments)
    assert failure.value.code == code, failure.value
    return failure.value.message


def test_objects_are_made_read_changed_and_deleted(connect, ns):
    probe = connect()
    at = {"resource": CONFIG_MAPS, "ns": ns, "name": "a"}
    made = probe.object("create", resource=CONFIG_MAPS, object=config_map(ns, "a", x="1"))
    assert probe.object("get", **at)["data"] == {"x": "1"}
    changed = probe.object("update", resource=CONFIG_MAPS, object={**made, "data": {"x": "2"}})
    message = fails("ABORTED", probe, "update", resource=CONFIG_MAPS, object={**made, "data": {"x": "3"}})
    assert f'update configmaps "a" in namespace "{ns}"' in message
    assert probe.object("merge", **at, patch={"data": {"y": "1"}})["data"] == {"x": "2", "y": "1"}
    assert probe.object("json_patch", **at, patch=[{"op": "remove", "path": "/data/x"}])["data"] == {"y": "1"}
    assert fails("ALREADY_EXISTS", probe, "create", resource=CONFIG_MAPS, object=config_map(ns, "a"))
    assert fails("ABORTED", probe, "delete", **at, uid="11111111-1111-1111-1111-111111111111")
    probe.call("delete", **at, uid=changed["metadata"]["uid"])
    assert fails("NOT_FOUND", probe, "get", **at) == f'get configmaps "a" in namespace "{ns}": configmaps "a" not found'
    fails("NOT_FOUND", probe, "delete", **at)


def test_what_is_no_good_is_said_in_the_servers_words(connect, ns):
    probe = connect()
    bad = deployment(ns, "a")
    bad["spec"]["template"]["metadata"]["labels"] = {"app": "other"}
    message = fails("INVALID_ARGUMENT", probe, "create", resource=DEPLOYMENTS, object=bad)
    assert "spec.template.metadata.labels" in message
    assert fails("NOT_FOUND", probe, "list", resource={**THINGS, "group": "absent.example"}, ns=ns)


def test_a_list_comes_in_pages(connect, cluster, ns):
    for index in range(7):
        cluster.ask("POST", f"/api/v1/namespaces/{ns}/configmaps",
                    {**config_map(ns, f"m{index}"), "metadata": {"name": f"m{index}", "labels": {"odd": str(index % 2)}}})
    probe = connect(kubeconfig=str(cluster.kubeconfig()), page=3)
    before = probe.call("requests")["requests"]
    assert probe.call("list", resource=CONFIG_MAPS, ns=ns)["names"] == [f"{ns}/m{index}" for index in range(7)]
    assert probe.call("requests")["requests"] == before + 3
    assert probe.call("list", resource=CONFIG_MAPS, ns=ns, labels="odd=1")["names"] == [f"{ns}/m{index}" for index in (1, 3, 5)]
    assert probe.call("list", resource=CONFIG_MAPS, ns=ns, fields="metadata.name=m4")["names"] == [f"{ns}/m4"]


def test_apply_owns_its_fields(connect, ns):
    probe = connect()
    apply = {"resource": DEPLOYMENTS, "manager": "first"}
    made = probe.object("apply", **apply, object=deployment(ns, "a", 1))
    assert made["spec"]["replicas"] == 1
    again = probe.object("apply", **apply, object=deployment(ns, "a", 1))
    assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]  # nothing has changed
    apply["manager"] = "second"
    message = fails("ABORTED", probe, "apply", **apply, object=deployment(ns, "a", 2))
    assert '"first"' in message and ".spec.replicas" in message
    assert probe.object("apply", **apply, force=True, object=deployment(ns, "a", 2))["spec"]["replicas"] == 2


def test_the_status_is_written_apart(connect, ns):
    probe = connect()
    probe.object("apply", resource=DEPLOYMENTS, object=deployment(ns, "a", 1))
    wanted = {**deployment(ns, "a", 5), "status": {"replicas": 4}}
    written = probe.object("apply", resource=DEPLOYMENTS, manager="status", subresource="status", object={
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": wanted["metadata"], "status": wanted["status"]})
    assert written["status"]["replicas"] == 4 and written["spec"]["replicas"] == 1
    assert probe.object("apply", resource=DEPLOYMENTS, object=wanted)["status"]["replicas"] == 4


def names(probe, informer="i"):
    return probe.call("informer_state", id=informer)["names"]


def follow(probe, ns, resource=CONFIG_MAPS, **options):
    probe.call("informer", id="i", resource=resource, ns=ns, **options)
    wait_for("the first list", lambda: probe.call("informer_state", id="i")["synced"])


def test_an_informer_follows_through_a_restart_of_the_api_server(connect, cluster, ns):
    probe = connect()
    cluster.ask("POST", f"/api/v1/namespaces/{ns}/configmaps", config_map(ns, "before"))
    follow(probe, ns)
    assert names(probe) == [f"{ns}/before"]
    for kill in (False, True):
        cluster.stop_api(kill=kill)
        wait_for("the informer to notice", lambda: probe.call("informer_state", id="i")["problem"] != "OK")
        assert names(probe)  # what it knows it keeps
        cluster.start_api()
        cluster.ask("POST", f"/api/v1/namespaces/{ns}/configmaps", config_map(ns, f"after-{kill}".lower()))
        wait_for("the new object", lambda kill=kill: f"{ns}/after-{kill}".lower() in names(probe))
    wait_for("the problem to be over", lambda: probe.call("informer_state", id="i")["problem"] == "OK")
    cluster.ask("DELETE", f"/api/v1/namespaces/{ns}/configmaps/before")
    wait_for("the old one to go", lambda: f"{ns}/before" not in names(probe))


def test_watches_end_and_go_on_without_a_list(connect, cluster, ns):
    probe = connect()
    follow(probe, ns, watch_seconds=1)
    wait_for("three watches", lambda: probe.call("informer_state", id="i")["watches"] >= 3)
    cluster.ask("POST", f"/api/v1/namespaces/{ns}/configmaps", config_map(ns, "a"))
    wait_for("the object", lambda: names(probe) == [f"{ns}/a"])
    state = probe.call("informer_state", id="i")
    assert state["lists"] == 1 and state["problem"] == "OK"


def test_what_etcd_has_forgotten_is_listed_anew(connect, cluster, ns):
    proxy = TcpProxy(cluster.port)
    try:
        probe = connect(kubeconfig=str(cluster.kubeconfig(name="proxied", server=f"https://127.0.0.1:{proxy.port}",
                                                          user=admin_user(cluster))))
        cluster.ask("POST", f"/api/v1/namespaces/{ns}/configmaps", config_map(ns, "old"))
        follow(probe, ns)
        proxy.hold()
        proxy.cut()
        cluster.ask("DELETE", f"/api/v1/namespaces/{ns}/configmaps/old")
        for index in range(20):
            cluster.ask("POST", f"/api/v1/namespaces/{ns}/configmaps", config_map(ns, f"new{index}"))
        cluster.compact()
        cluster.stop_api()  # whose memory of recent changes goes with it
        cluster.start_api()
        cluster.compact()
        proxy.cut()
        proxy.clear()
        wait_for("the state of now", lambda: names(probe) == sorted(f"{ns}/new{index}" for index in range(20)))
        state = probe.call("informer_state", id="i")
        assert state["expired"] >= 1 and state["lists"] >= 2, state
    finally:
        proxy.stop()


def admin_user(cluster):
    certificate, key = cluster.admin
    return {"client-certificate": str(certificate), "client-key": str(key)}


def test_an_old_resource_version_is_out_of_range(connect, cluster, ns):
    probe = connect()
    old = probe.call("list", resource=CONFIG_MAPS, ns=ns)["resource_version"]
    cluster.ask("POST", f"/api/v1/namespaces/{ns}/configmaps", config_map(ns, "a"))
    assert probe.call("watch", resource=CONFIG_MAPS, ns=ns, resource_version=old)["events"][0] == [0, f"{ns}/a"]
    cluster.compact()
    cluster.stop_api()
    cluster.start_api()
    assert "too old resource version" in fails("OUT_OF_RANGE", probe, "watch", resource=CONFIG_MAPS, ns=ns, resource_version=old)


THINGS = {"group": "nobody.example", "plural": "things", "kind": "Thing"}


def test_a_kind_that_comes_later_is_followed_from_then_on(connect, cluster, ns):
    probe = connect()
    probe.call("informer", id="i", resource=THINGS, ns=ns)
    wait_for("the reason", lambda: probe.call("informer_state", id="i")["problem"].startswith("NOT_FOUND"))
    assert not probe.call("informer_state", id="i")["synced"]
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    cluster.ask("POST", definitions, {"metadata": {"name": "things.nobody.example"}, "spec": {
        "group": "nobody.example", "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing"},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}]}})
    wait_for("the first list", lambda: probe.call("informer_state", id="i")["synced"])
    probe.object("apply", resource=THINGS, object={"apiVersion": "nobody.example/v1", "kind": "Thing",
                                                   "metadata": {"name": "a", "namespace": ns}, "spec": {"x": 1}})
    wait_for("the object", lambda: names(probe) == [f"{ns}/a"])
    cluster.ask("DELETE", f"{definitions}/things.nobody.example")
    wait_for("the object to go with its kind", lambda: names(probe) == [])


def test_a_missing_right_is_named(connect, cluster, ns):
    cluster.account("reader", [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]}], namespace=ns)
    probe = connect(kubeconfig=str(cluster.kubeconfig({"token": cluster.token("reader", ns)}, name="reader", namespace=ns)))
    assert probe.access["ns"] == ns
    assert probe.call("list", resource=CONFIG_MAPS, ns=ns)["names"] == []
    message = fails("PERMISSION_DENIED", probe, "list", resource=SECRETS, ns=ns)
    assert f'list secrets in namespace "{ns}"' in message and 'cannot list resource "secrets"' in message
    assert f"system:serviceaccount:{ns}:reader" in message and "Role" in message
    assert 'cannot create resource "configmaps"' in fails("PERMISSION_DENIED", probe, "create", resource=CONFIG_MAPS,
                                                          object=config_map(ns, "a"))
    probe.call("informer", id="i", resource=CONFIG_MAPS, ns=ns)  # may list, but not watch
    wait_for("the refusal", lambda: 'cannot watch resource "configmaps"' in probe.call("informer_state", id="i")["problem"])
    assert probe.call("informer_state", id="i")["synced"]


REVIEWS = {"group": "authentication.k8s.io", "plural": "selfsubjectreviews", "kind": "SelfSubjectReview", "namespaced": False}


def test_a_pods_token_is_read_again_when_it_changes(connect, cluster, ns, tmp_path):
    folder = tmp_path / "serviceaccount"
    folder.mkdir()
    (folder / "ca.crt").write_bytes(cluster.pki.ca.read_bytes())
    (folder / "namespace").write_text(ns)
    for account in ("one", "two"):
        cluster.account(account, namespace=ns)
    put(folder / "token", cluster.token("one", ns))
    probe = connect(pod={"host": "127.0.0.1", "port": str(cluster.port), "folder": str(folder)})
    assert probe.access["ns"] == ns

    def who():
        review = probe.object("create", resource=REVIEWS, object={"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"})
        return review["status"]["userInfo"]["username"]

    assert who() == f"system:serviceaccount:{ns}:one"
    put(folder / "token", cluster.token("two", ns))
    wait_for("the new token", lambda: who() == f"system:serviceaccount:{ns}:two")
    put(folder / "token", "nonsense")
    wait_for("its refusal", lambda: refused(who))
    put(folder / "token", cluster.token("one", ns))
    assert who() == f"system:serviceaccount:{ns}:one"  # at once: the 401 has it read


def put(path, text):
    part = path.with_suffix(".part")
    part.write_text(text)
    part.rename(path)


def refused(who):
    try:
        who()
    except KubeError as error:
        assert error.code == "UNAUTHENTICATED", error
        return True
    return False


def test_a_server_that_another_authority_has_signed_gets_nothing(cluster, tmp_path):
    other = Pki(tmp_path / "other")
    config = json.loads(cluster.kubeconfig(name="distrustful").read_text())
    config["clusters"][0]["cluster"]["certificate-authority-data"] = base64.b64encode(other.ca.read_bytes()).decode()
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(config))
    probe = KubeProbe(tmp_path, kubeconfig=str(path))
    try:
        assert "certificate" in fails("FAILED_PRECONDITION", probe, "list", resource=CONFIG_MAPS)
    finally:
        probe.stop()
    config["clusters"][0]["cluster"] = {"server": cluster.url, "insecure-skip-tls-verify": True}
    path.write_text(json.dumps(config))
    probe = KubeProbe(tmp_path, kubeconfig=str(path))
    try:
        assert probe.call("list", resource=CONFIG_MAPS, ns="kube-system")["names"]
    finally:
        probe.stop()


def test_a_credential_plug_in_is_refused_by_name(cluster, tmp_path):
    path = cluster.kubeconfig({"exec": {"command": "aws-iam-authenticator"}}, name="plugin")
    with pytest.raises(KubeError, match="users.0..user.exec: credential plug-ins are not supported") as failure:
        KubeProbe(tmp_path, kubeconfig=str(path))
    assert failure.value.code == "UNIMPLEMENTED"


def test_events_are_there_for_kubectl_describe(connect, cluster, ns):
    probe = connect()
    about = probe.object("create", resource=CONFIG_MAPS, object=config_map(ns, "a"))
    for _ in range(3):
        written = probe.call("event", about=about, warning=True, reason="Broke", action="Repaired", note="it broke, and was repaired")
    assert written == {"flushed": True, "written": 3, "dropped": 0}
    events = cluster.ask("GET", f"/apis/events.k8s.io/v1/namespaces/{ns}/events")["items"]
    assert [(event["reason"], event["regarding"]["name"], event["series"]["count"]) for event in events] == [("Broke", "a", 2)]
    assert cluster.ask("GET", f"/api/v1/namespaces/{ns}/events")["items"][0]["message"] == "it broke, and was repaired"


ELECTION = {"id": "e", "name": "leader", "lease_ms": 5000, "renew_ms": 2000, "retry_ms": 200, "timeout_ms": 1000}


def leaders(probes):
    return [name for name, probe in probes.items() if probe.call("election_state", id="e")["leading"]]


def one_leader(probes):
    """The name of the only one that leads, waited for; never are there two."""
    def look():
        found = leaders(probes)
        assert len(found) <= 1, found
        return found
    return wait_for("a leader", look)[0]


def test_never_do_two_lead(connect, cluster, ns):
    probes = {name: connect() for name in "abc"}
    for name, probe in probes.items():
        probe.call("elect", ns=ns, identity=name, **ELECTION)
    terms = []
    first = one_leader(probes)
    lease = cluster.ask("GET", f"/apis/coordination.k8s.io/v1/namespaces/{ns}/leases/leader")
    assert lease["spec"]["holderIdentity"] == first and lease["spec"]["leaseDurationSeconds"] == 5
    # One that ends in order lets the next lead.
    terms += probes.pop(first).call("resign", id="e")["terms"]
    second = one_leader(probes)
    assert second != first
    # One that loses the API server stops by itself; when that is back there is one leader.
    cluster.stop_api(kill=True)
    wait_for("the lead to end", lambda: not leaders(probes))
    wait_for("the leader to stop", lambda: probes[second].call("election_state", id="e")["terms"][-1][1])
    cluster.start_api()
    third = one_leader(probes)
    # One that dies is followed by the next.
    terms += probes[third].call("election_state", id="e")["terms"][:-1]
    probes.pop(third).kill()
    last = one_leader(probes)
    assert last != third
    terms += probes[last].call("resign", id="e")["terms"]
    ordered = sorted(terms)
    for (_, ended), (began, _) in zip(ordered, ordered[1:]):
        assert ended <= began, ordered


def test_a_leader_that_did_not_run_for_a_while_knows(connect, ns):
    probes = {name: connect() for name in "ab"}
    for name, probe in probes.items():
        probe.call("elect", ns=ns, identity=name, **ELECTION)
    paused = one_leader(probes)
    other = {name: probe for name, probe in probes.items() if name != paused}
    os.kill(probes[paused].process.pid, signal.SIGSTOP)
    try:
        one_leader(other)
    finally:
        os.kill(probes[paused].process.pid, signal.SIGCONT)
    assert not probes[paused].call("election_state", id="e")["leading"]  # the first thing that it says
    wait_for("its end to be told", lambda: probes[paused].call("election_state", id="e")["terms"][0][1])


def test_a_pod_that_may_not_touch_leases_is_told(connect, cluster, ns):
    cluster.account("nobody", namespace=ns)
    probe = connect(kubeconfig=str(cluster.kubeconfig({"token": cluster.token("nobody", ns)}, name="nobody", namespace=ns)))
    probe.call("elect", ns=ns, identity="x", **ELECTION)
    wait_for("the reason in the log", lambda: 'cannot get resource \\"leases\\"' in probe.log.read_text()
             or 'cannot get resource "leases"' in probe.log.read_text())
    assert not probe.call("election_state", id="e")["leading"]
