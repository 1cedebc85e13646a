"""A mail server that keeps letters in a folder, a file for each recipient: mail.py PORT FOLDER. RFC 5321, as much as curl asks for."""
import os, socketserver, sys


class Handler(socketserver.StreamRequestHandler):
    def say(self, text):
        self.wfile.write(text.encode() + b'\r\n')

    def handle(self):
        to = []
        self.say('220 localhost ESMTP')
        for line in self.rfile:
            words = line.decode().strip().upper()
            if words.startswith('EHLO'):
                self.say('250-localhost\r\n250-PIPELINING\r\n250 SIZE 10000000')
            elif words.startswith('RCPT'):
                who = line.decode().split('<')[1].split('>')[0]
                if who.startswith('nobody'):
                    self.say('550 not here')
                else:
                    to.append(who)
                    self.say('250 ok')
            elif words == 'DATA':
                self.say('354 go on')
                letter = []
                for text in self.rfile:
                    if text == b'.\r\n':
                        break
                    letter.append(text[1:] if text.startswith(b'.') else text)
                for who in to:
                    with open(os.path.join(sys.argv[2], who), 'wb') as f:
                        f.write(b''.join(letter))
                self.say('250 kept')
            elif words == 'QUIT':
                self.say('221 bye')
                return
            else:
                self.say('250 ok')


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True


Server(('127.0.0.1', int(sys.argv[1])), Handler).serve_forever()
