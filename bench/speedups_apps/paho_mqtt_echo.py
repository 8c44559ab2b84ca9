"""paho-mqtt over its WebSocket transport: publications that the broker sends back."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from paho.mqtt import client as mqtt

from speedups_apps.job import Job

__all__: list[str] = []


def client(job: Job) -> None:
    paho = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, transport="websockets")
    paho.ws_set_options(path="/")
    failed: list[Exception] = []

    def on_connect(*_: Any) -> None:
        job.begin(lambda _: paho.publish("echo", job.data))

    def on_message(_: Any, userdata: Any, message: mqtt.MQTTMessage) -> None:
        try:
            if job.answered(message.payload):
                return
        except ValueError as error:
            failed.append(error)
        paho.disconnect()

    paho.on_connect, paho.on_message = on_connect, on_message
    address = urlsplit(job.url)
    paho.connect(address.hostname or "", address.port or 0)
    paho.loop_forever()
    if failed:
        raise failed[0]
