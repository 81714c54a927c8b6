// A client of tests/peers/lamp_service.py with QtDBus (Debian: qtbase5-dev).
//
//   moc -o lamp_qt.moc lamp_qt.cpp
//   g++ -fPIC -o lamp_qt lamp_qt.cpp -I. $(pkg-config --cflags --libs Qt5DBus)
//   ./lamp_qt [NAME]
#include <QtCore>
#include <QtDBus>
#include <cstdio>

static const char *const PATH = "/org/example/lamp";
static const char *const LAMP1 = "org.example.Lamp1";

static void say(const QString &text) {
    std::printf("%s\n", qPrintable(text));
}

class Ear : public QObject {
    Q_OBJECT
public slots:
    void blinked(uint number) {
        say("signal " + QString::number(number));
        if (number == 2)
            QCoreApplication::quit();
    }
};

static QStringList methods(const QMetaObject *of) {
    QStringList names;
    for (int at = of->methodOffset(); at < of->methodCount(); at++)
        if (of->method(at).methodType() == QMetaMethod::Slot)
            names << of->method(at).name();
    // A method without results is there twice: to wait for, and not.
    names.removeDuplicates();
    return names;
}

int main(int count, char **arguments) {
    QCoreApplication application(count, arguments);
    const QString name = count > 1 ? arguments[1] : "org.example.Lamp";
    QDBusConnection bus = QDBusConnection::sessionBus();
    QDBusInterface lamp(name, PATH, LAMP1, bus);
    QDBusInterface properties(name, PATH, "org.freedesktop.DBus.Properties", bus);

    lamp.setProperty("Level", 0.25);
    say("level is " + lamp.property("Level").toString());
    say("kind is " + lamp.property("Kind").toString());
    QDBusReply<QVariantMap> all = properties.call("GetAll", LAMP1);
    say("properties: " + QStringList(all.value().keys()).join(' '));
    say("methods: " + methods(lamp.metaObject()).join(' '));

    Ear ear;
    bus.connect(name, PATH, LAMP1, "Blinked", &ear, SLOT(blinked(uint)));
    QDBusReply<QString> done = lamp.call("Blink", 3u);
    say(done.value());
    application.exec();

    QDBusMessage failed = lamp.call("Fail");
    say(failed.errorName() + ": " + failed.errorMessage());
    return 0;
}

#include "lamp_qt.moc"
