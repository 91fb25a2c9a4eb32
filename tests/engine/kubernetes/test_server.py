"""The mock API server is understood by the official client, and not by ours alone."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from tests import kubernetes_kit as kit
from tests.kubernetes_server import Answer, Server

from bareboat.engine.kubernetes import manifest, options


def test_the_official_client_creates_lists_watches_patches_and_deletes(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from kubernetes import client, config, watch
    server = Server()
    try:
        theirs = client.Configuration()
        config.load_kube_config(str(server.kubeconfig(tmp_path)), client_configuration=theirs)
        with client.ApiClient(theirs) as connection:
            batch = client.BatchV1Api(connection)
            bundle, = manifest.bundles(kit.submission(), options.Options())
            made = batch.create_namespaced_job("team", bundle.job)
            assert made.metadata.uid and made.spec.pod_replacement_policy == "Failed"
            listed = batch.list_namespaced_job("team", label_selector=f"bareboat/job={bundle.name}", limit=1)
            assert [job.metadata.name for job in listed.items] == [bundle.name]
            batch.patch_namespaced_job(bundle.name, "team", {"spec": {"suspend": False}},
                                       _content_type="application/merge-patch+json")
            events = watch.Watch().stream(batch.list_namespaced_job, "team", timeout_seconds=1,
                                          resource_version=listed.metadata.resource_version)
            assert [event["type"] for event in events] == ["MODIFIED"]
            server.fail("GET", "/jobs", Answer(410, "Expired", "too old"))
            with pytest.raises(client.ApiException) as raised:
                batch.list_namespaced_job("team")
            assert raised.value.status == 410
            batch.delete_namespaced_job(bundle.name, "team", propagation_policy="Background")
            assert server.names() == []
    finally:
        server.close()
