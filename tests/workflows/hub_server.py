"""A stand-in for the Hugging Face Hub on this machine: what huggingface_hub asks of the real one.

Repositories are made, files committed (small ones within the commit, large ones by Git LFS), and
read back at any commit.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.server
import json
import socket
import threading


class HubServer(http.server.ThreadingHTTPServer):
    """The Hub; its address is ``url``."""

    def __init__(self, token="hf_good"):
        super().__init__(("127.0.0.1", 0), Handler)
        self.token = token
        self.asked = []
        self.connections = []
        #: repository -> commits, oldest first: (oid, files by name)
        self.repositories = {}
        #: repositories that nobody may read
        self.closed = set()
        self.objects = {}  # of Git LFS, by SHA-256
        #: what was said of repositories when they were made: their kind, the SDK of a Space
        self.made = {}
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def commit(self, repo_id, files):
        """Add a commit; returns its id."""
        commits = self.repositories.setdefault(repo_id, [])
        whole = {**(commits[-1][1] if commits else {}), **files}
        oid = hashlib.sha1(f"{repo_id}{len(commits)}".encode()).hexdigest()
        commits.append((oid, whole))
        return oid

    def process_request(self, request, client_address):
        self.connections.append(request)
        super().process_request(request, client_address)

    def stop(self):
        self.shutdown()
        self.server_close()
        for connection in self.connections:  # which are kept alive
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, body=b"", **headers):
        if isinstance(body, (dict, list)):
            body, headers["Content_Type"] = json.dumps(body).encode(), "application/json"
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def may_write(self):
        return self.headers.get("Authorization") == f"Bearer {self.server.token}"

    def route(self):
        path = self.path.partition("?")[0].strip("/")
        self.server.asked.append(f"{self.command} {path}")
        return path

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = self.route()
        if path.startswith("api/models/"):
            owner, name, *rest = path.removeprefix("api/models/").split("/")
            found = self.at(f"{owner}/{name}", rest[1] if len(rest) > 1 else "main")
            if found is None:
                return None
            oid, files = found
            if rest[:1] == ["tree"]:
                return self.answer(
                    200,
                    [{"type": "file", "path": n, "size": len(b), "oid": "0"}
                     for n, b in files.items()],
                )  # fmt: skip
            siblings = [{"rfilename": n} for n in files]
            return self.answer(200, {"id": f"{owner}/{name}", "sha": oid, "siblings": siblings})
        repo_id, _, rest = path.partition("/resolve/")
        revision, _, name = rest.partition("/")
        found = self.at(repo_id, revision)
        if found is None:
            return None
        oid, files = found
        if name not in files:
            return self.answer(404, X_Error_Code="EntryNotFound", X_Repo_Commit=oid)
        etag = f'"{hashlib.sha1(files[name]).hexdigest()}"'
        return self.answer(200, files[name], ETag=etag, X_Repo_Commit=oid)

    def at(self, repo_id, revision):
        """The commit of a revision; answers itself if there is none."""
        commits = self.server.repositories.get(repo_id)
        if repo_id in self.server.closed:
            self.answer(403, {"error": "Forbidden"})
            return None
        if not commits:
            self.answer(404, X_Error_Code="RepoNotFound")
            return None
        for oid, files in reversed(commits):
            if revision in ("main", oid):
                return oid, files
        self.answer(404, X_Error_Code="RevisionNotFound")
        return None

    def do_POST(self):
        path, body = self.route(), self.body()
        if path == "api/validate-yaml":
            return self.answer(200, {"errors": [], "warnings": []})
        if not self.may_write():
            return self.answer(401, {"error": "Invalid username or password."})
        if path == "api/repos/create":
            asked = json.loads(body)
            repo_id = "/".join(filter(None, [asked.get("organization"), asked["name"]]))
            kind = "spaces/" if asked.get("type") == "space" else ""
            url = f"{self.server.url}/{kind}{repo_id}"
            if repo_id in self.server.repositories:
                return self.answer(409, {"url": url})
            self.server.made[repo_id] = asked
            self.server.commit(repo_id, {".gitattributes": b""})
            return self.answer(200, {"url": url, "id": repo_id})
        if path.endswith("/info/lfs/objects/batch"):
            objects = [
                {"oid": observed["oid"], "size": observed["size"],
                 "actions": {"upload": {"href": f"{self.server.url}/lfs/{observed['oid']}"}}}
                for observed in json.loads(body)["objects"]
            ]  # fmt: skip
            return self.answer(200, {"transfer": "basic", "objects": objects})
        _, kind, owner, name, what, *_ = path.split("/")
        if what == "preupload":
            return self.answer(200, {"files": [
                {"path": observed["path"], "shouldIgnore": False,
                 "uploadMode": "lfs" if observed["path"].endswith(".safetensors") else "regular"}
                for observed in json.loads(body)["files"]
            ]})  # fmt: skip
        if what == "commit":
            files = {}
            for line in map(json.loads, body.splitlines()):
                value = line["value"]
                if line["key"] == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    files[value["path"]] = self.server.objects[value["oid"]]
            oid = self.server.commit(f"{owner}/{name}", files)
            return self.answer(200, {
                "commitUrl": "/".join([
                    self.server.url, *(["spaces"] if kind == "spaces" else []), owner, name,
                    "commit", oid,
                ]),
                "commitOid": oid,
                "success": True,
            })  # fmt: skip
        return self.answer(404, {"error": path})

    def do_PUT(self):
        path, body = self.route(), self.body()
        assert hashlib.sha256(body).hexdigest() == path.removeprefix("lfs/")
        self.server.objects[path.removeprefix("lfs/")] = body
        return self.answer(200)
