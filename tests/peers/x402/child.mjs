// What every part of the lab does: it listens on a free port of loopback, says which, and ends when its parent does.

export const listening = (server, more = () => ({})) => {
  server.listen(0, '127.0.0.1', () => {
    console.log(JSON.stringify({ port: server.address().port, ...more() }));
  });
  process.stdin.on('end', () => process.exit(0)).on('error', () => process.exit(0)).resume();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(0));
};
