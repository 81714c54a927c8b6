#!/usr/bin/ruby
# frozen_string_literal: true

# A client of tests/peers/lamp_service.py with ruby-dbus (Debian: ruby-dbus): lamp_ruby_dbus.rb [NAME]

require "dbus"

LAMP1 = "org.example.Lamp1"

bus = DBus.session_bus
there = bus[ARGV.fetch(0, "org.example.Lamp")].object("/org/example/lamp")
lamp = there[LAMP1]

lamp["Level"] = 0.25
puts "level is #{lamp['Level']}"
puts "kind is #{lamp['Kind']}"
puts "properties: #{lamp.all_properties.keys.sort.join(' ')}"
puts "methods: #{lamp.methods.keys.sort.join(' ')}"

# Signals are handled while a call waits for its reply, and in the loop.
numbers = []
main = DBus::Main.new
main << bus
lamp.on_signal("Blinked") do |number|
  numbers << number
  main.quit if number == 2
end
puts lamp.Blink(3)
main.run if numbers.length < 3
numbers.each { |number| puts "signal #{number}" }

begin
  lamp.Fail
rescue DBus::Error => e
  puts "#{e.name}: #{e.dbus_message.params.first}"
end
