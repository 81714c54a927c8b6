#!/usr/bin/perl
# A client of tests/peers/lamp_service.py with Net::DBus (Debian: libnet-dbus-perl): lamp_net_dbus.pl [NAME]

use strict;
use warnings;

use Net::DBus qw(:typing);
use Net::DBus::Binding::Introspector;
use Net::DBus::Reactor;

use constant LAMP1      => "org.example.Lamp1";
use constant PROPERTIES => "org.freedesktop.DBus.Properties";
use constant PATH       => "/org/example/lamp";

my $service = Net::DBus->session->get_service($ARGV[0] // "org.example.Lamp");
my $lamp = $service->get_object(PATH, LAMP1);
my $properties = $service->get_object(PATH, PROPERTIES);
my $reactor = Net::DBus::Reactor->main;

$properties->Set(LAMP1, "Level", dbus_double(0.25));
print "level is ", $properties->Get(LAMP1, "Level"), "\n";
print "kind is ", $properties->Get(LAMP1, "Kind"), "\n";
print join(" ", "properties:", sort keys %{$properties->GetAll(LAMP1)}), "\n";
my $text = $service->get_object(PATH, "org.freedesktop.DBus.Introspectable")->Introspect;
my $data = Net::DBus::Binding::Introspector->new(xml => $text, object_path => PATH);
print join(" ", "methods:", sort $data->list_methods(LAMP1)), "\n";

$lamp->connect_to_signal("Blinked", sub {
    my ($number) = @_;
    print "signal $number\n";
    $reactor->shutdown if $number == 2;
});
print $lamp->Blink(3), "\n";
$reactor->run;

eval { $lamp->Fail; };
print $@->name, ": ", $@->message, "\n";
