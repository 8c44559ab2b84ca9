# aiohttp's websocket_mask. Nothing here is for other modules.
