#!/usr/bin/env node
// The lamp follows the fader: read, set and follow mirrored nodes from JavaScript.
//
// Start `zocp demo`, then in another shell: npm install dbus-next; node examples/follow.js [COUNT]
// COUNT is how many signals to follow; without it, until Ctrl-C.
'use strict';

const dbus = require('dbus-next');

const NODE = '/org/z25/Zocp1/Node';
const VALUES = 'org.z25.Zocp1.Values';

async function main() {
  let left = Number(process.argv[2] ?? Infinity);
  const bus = dbus.sessionBus();
  const lamp = await bus.getProxyObject('org.z25.Zocp1.Node.lamp', NODE);
  const fader = await bus.getProxyObject('org.z25.Zocp1.Node.fader', NODE);
  const properties = lamp.getInterface('org.freedesktop.DBus.Properties');
  const get = async () => (await properties.Get(VALUES, 'brightness')).value;
  const set = (level) => properties.Set(VALUES, 'brightness', new dbus.Variant('d', level));

  // Read: a property, natively typed.
  console.log('brightness is', await get());

  // Set: the node itself is asked, and what it cannot be is refused.
  await set(2.0).catch((error) => console.log('refused:', error.text));

  // Follow: each emission of the fader is a signal.
  fader.getInterface('org.z25.Zocp1.Signals').on('level', async (level) => {
    if (left-- <= 0) return;
    await set(level);
    console.log('brightness is now', await get());
    if (left === 0) bus.disconnect();
  });
}

main();
