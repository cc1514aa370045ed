"""Uploads a file with tuspy, as its users do: a few chunks, or on from where an upload stopped.

Arguments: the server's URL, a token, the file, how many bytes to stop at, and the upload's URL (or
"new"). Prints the upload's URL and its offset.
"""
import sys

from tusclient import client

server, token, path, stop_at, url = sys.argv[1:]
tus = client.TusClient(server + "/uploads", headers={"Authorization": "Bearer " + token})
uploader = tus.uploader(
    path,
    chunk_size=100_000,
    metadata={"filename": "by tuspy.bin"},
    url=None if url == "new" else url,
    upload_checksum=True,
)
uploader.upload(stop_at=int(stop_at))
print(uploader.url, uploader.offset)
