// SPDX-License-Identifier: MIT
// The server of V1 and V2 on node's own http module; see bench/README.md for what it has to answer.
'use strict';
const http = require('http');

const wait = (milliseconds, result) =>
  new Promise((resolve) => setTimeout(resolve, milliseconds, result));

function send(response, type, text) {
  response.writeHead(200, { 'Content-Type': type, 'Content-Length': text.length });
  response.end(text);
}

async function answer(request, response) {
  if (request.url !== '/waits') {
    send(response, 'text/plain; charset=utf-8', 'Hello, world!\n');
    return;
  }
  const [file, db, api] = await Promise.all(
    [wait(100, 'file result'), wait(200, 'db result'), wait(300, 'api result')]);
  send(response, 'application/json',
    JSON.stringify({ result_file: file, result_db: db, result_api: api }));
}

const server = http.createServer(answer);
server.keepAliveTimeout = 600000;
server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 },
  () => console.log(server.address().port));
