// The lamp follows the fader: read, set and follow mirrored nodes from C++ with Qt.
//
// Build it with `moc examples/follow.cpp -o follow.moc` and
//   c++ -fPIC -I. -o follow examples/follow.cpp $(pkg-config --cflags --libs Qt5DBus)
// Start `zocp demo`, then in another shell: ./follow [COUNT]
// COUNT is how many signals to follow; without it, until Ctrl-C.
// Needs Qt 5 (Debian: qtbase5-dev); with Qt 6 only the name of the package differs.
#include <QCoreApplication>
#include <QDBusConnection>
#include <QDBusInterface>
#include <QDBusMessage>
#include <QDBusReply>
#include <QDBusVariant>
#include <QTextStream>

static const QString FADER = "org.z25.Zocp1.Node.fader", LAMP = "org.z25.Zocp1.Node.lamp";
static const QString NODE = "/org/z25/Zocp1/Node", VALUES = "org.z25.Zocp1.Values";

class Lamp : public QObject {
    Q_OBJECT

public:
    explicit Lamp(int count) : left(count), properties(LAMP, NODE, "org.freedesktop.DBus.Properties") {}

    // Read: a property, natively typed.
    double brightness() {
        QDBusReply<QDBusVariant> answer = properties.call("Get", VALUES, "brightness");
        return answer.value().variant().toDouble();
    }

    // Set: the node itself is asked, and what it cannot be is refused.
    QDBusMessage set(double level) {
        QVariant value = QVariant::fromValue(QDBusVariant(level));
        return properties.call("Set", VALUES, "brightness", value);
    }

public slots:
    // Follow: each emission of the fader is a signal.
    void moved(double level) {
        set(level);
        out << "brightness is now " << brightness() << Qt::endl;
        if (--left == 0)
            QCoreApplication::quit();
    }

public:
    QTextStream out{stdout};

private:
    int left;
    QDBusInterface properties;
};

int main(int argc, char **argv) {
    QCoreApplication app(argc, argv);
    Lamp lamp(argc > 1 ? atoi(argv[1]) : -1);
    lamp.out << "brightness is " << lamp.brightness() << Qt::endl;
    QDBusMessage answer = lamp.set(2.0);
    if (answer.type() == QDBusMessage::ErrorMessage)
        lamp.out << "refused: " << answer.errorMessage() << Qt::endl;
    QDBusConnection::sessionBus().connect(FADER, NODE, "org.z25.Zocp1.Signals", "level", &lamp,
                                          SLOT(moved(double)));
    return app.exec();
}

#include "follow.moc"
