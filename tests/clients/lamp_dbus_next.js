#!/usr/bin/env node
// A client of tests/peers/lamp_service.py with dbus-next (npm): lamp_dbus_next.js [NAME]
'use strict';

const dbus = require('dbus-next');

const LAMP1 = 'org.example.Lamp1';
const PROPERTIES = 'org.freedesktop.DBus.Properties';

async function main() {
  const name = process.argv[2] ?? 'org.example.Lamp';
  const bus = dbus.sessionBus();
  const there = await bus.getProxyObject(name, '/org/example/lamp');
  const lamp = there.getInterface(LAMP1);
  const properties = there.getInterface(PROPERTIES);
  const get = async (property) => (await properties.Get(LAMP1, property)).value;

  await properties.Set(LAMP1, 'Level', new dbus.Variant('d', 0.25));
  console.log('level is', await get('Level'));
  console.log('kind is', await get('Kind'));
  console.log('properties:', ...Object.keys(await properties.GetAll(LAMP1)).sort());
  const methods = lamp.$methods.map((method) => method.name);
  console.log('methods:', ...methods.sort());

  const numbers = [];
  const all = new Promise((resolve) => {
    lamp.on('Blinked', (number) => {
      numbers.push(number);
      if (number === 2) resolve();
    });
  });
  // The rule for the signal is on its way before any call that comes after it.
  console.log(await lamp.Blink(3));
  await all;
  numbers.forEach((number) => console.log('signal', number));

  try {
    await lamp.Fail();
  } catch (error) {
    console.log(`${error.type}: ${error.text}`);
  }
  bus.disconnect();
}

main();
