"""A client written from PROTOCOL.md alone, knowing nothing of this program: plays some blocks, prints what came."""

import asyncio
import json
import struct
import sys

import aiohttp


def unpack(data):
    assert data[:4] == b"NWB1"
    (length,) = struct.unpack_from("<I", data, 4)
    header, at, pictures = json.loads(data[8 : 8 + length]), 8 + length, []
    for frame in header["frames"]:
        pictures.append(data[at : at + frame["size"]])
        at += frame["size"]
    assert at == len(data)
    return header, pictures


async def play(address, wanted):
    url, key = address.split("/#")
    heard = {"blocks": 0, "frames": 0, "keys": [], "bytes": 0, "stills": 0}
    async with aiohttp.ClientSession() as session, session.ws_connect(url + "/socket") as socket:
        await socket.send_json({"type": "hello", "key": key, "version": 1, "name": "another program"})
        number, newest, begun, length = 0, -1, False, 1

        async def step():
            frames = [{"keys": ["W"], "mouse": [0.0, 0.05]}] * length
            await socket.send_json({"type": "step", "number": number, "frames": frames, "have": newest})

        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                said = json.loads(message.data)
                if said["type"] == "welcome":
                    number = said.get("asked", -1) + 1
                elif said["type"] == "told" and said["state"] == "playing" and not begun:
                    begun, length = True, said.get("next_frames", 1)
                    await step()
                elif said["type"] == "told" and said["state"] == "failed":
                    raise SystemExit(said["words"])
            elif message.type is aiohttp.WSMsgType.BINARY:
                header, pictures = unpack(message.data)
                newest = header["serial"]
                if header["kind"] != "block":
                    heard["stills"] += 1
                    continue
                heard["blocks"] += 1
                heard["frames"] += len(pictures)
                heard["bytes"] += sum(map(len, pictures))
                heard["keys"].append(header["frames"][0]["keys"])
                if heard["blocks"] == wanted:
                    break
                number, length = number + 1, header.get("next_frames", 1)
                await step()
        await socket.send_json({"type": "seat", "do": "leave"})
    return heard


if __name__ == "__main__":
    print(json.dumps(asyncio.run(play(sys.argv[1], int(sys.argv[2])))))
