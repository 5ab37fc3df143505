"""What notes of customer service say; `{}` is where a value stands."""

# ruff: noqa: E501 - a line an entity, so that languages can be compared

ABOUT = {  # by language and entity
    "zh": {
        "phone": ("客户要求回电，电话{}。", "请拨打{}联系他。", "新号码是{}，旧号码停用。", "手机：{}", "家人电话{}，晚上可接听。"),
        "e-mail": ("请把合同发到 {} 。", "邮箱：{}，请确认。", "抄送 {}；谢谢。"),
        "iban": ("退款请汇至 {} 。", "境外账户：{}", "账号 {}，请核对。"),
        "card": ("银行卡{}被重复扣款。", "卡号：{}", "用尾号卡 {} 支付失败。"),
        "cn-resident": ("身份证号{}已核实。", "身份证：{}", "证件号码 {}，本人到店。"),
        "other": ("证件 {} 已登记。", "税号或证件：{}"),
        "own": ("{}来电咨询账单。", "已与{}确认。", "客户资料：{}。", "备注：{}，请跟进。"),
    },
    "en": {
        "phone": ("Please call back on {}.", "New mobile {}, old one is dead.", "Reach her at {} after six.", "Phone: {}", "He rang from {} twice."),
        "e-mail": ("Send the invoice to {}.", "E-mail: {}", "Copied {} on the thread.", "Her address is {}, not the old one."),
        "iban": ("Refund to {} please.", "IBAN: {}", "Account {} was closed."),
        "card": ("Card {} was charged twice.", "Paid with {}, declined.", "card no. {}"),
        "cn-resident": ("Chinese id {} checked.", "ID card: {}"),
        "uk-nhs": ("NHS number {} on the form.", "NHS no. {}", "NHS: {}"),
        "us-ssn": ("SSN {} on file.", "Social security number: {}"),
        "uk-nino": ("National Insurance number {}.", "NINO: {}"),
        "other": ("Identity document {} seen.", "ID: {}"),
        "own": ("{} called about the bill.", "Spoke to {} today.", "Record: {}", "Note for {}: please follow up."),
    },
    "de": {
        "phone": ("Bitte um Rückruf unter {}.", "Neue Handynummer {}, alte ungültig.", "Tel.: {}", "Erreichbar unter {} ab 18 Uhr.", "Anruf von {} verpasst."),
        "e-mail": ("Rechnung bitte an {} senden.", "E-Mail: {}", "Kopie ging an {}, danke."),
        "iban": ("Bitte auf {} erstatten.", "IBAN: {}", "Das Konto {} ist erloschen."),
        "card": ("Karte {} doppelt belastet.", "Zahlung mit {} abgelehnt.", "Kartennummer: {}"),
        "cn-resident": ("Chinesischer Ausweis {} geprüft.", "Ausweis: {}"),
        "de-tax": ("Steuer-ID {} liegt vor.", "Steuerliche Identifikationsnummer: {}", "IdNr. {}", "Seine Steueridentifikationsnummer lautet {}."),
        "other": ("Ausweis {} vorgelegt.", "Dokument: {}"),
        "own": ("{} rief wegen der Rechnung an.", "Mit {} gesprochen.", "Kundendaten: {}", "Notiz zu {}: bitte nachfassen."),
    },
    "es": {
        "phone": ("Llamar al {} por la tarde.", "Nuevo móvil {}, el otro no funciona.", "Tel.: {}", "Llamó desde el {} dos veces."),
        "e-mail": ("Enviar la factura a {}.", "Correo: {}", "Con copia a {}, gracias."),
        "iban": ("Devolver el importe a {}.", "IBAN: {}", "La cuenta {} está cerrada."),
        "card": ("Tarjeta {} cobrada dos veces.", "Pagó con {}, rechazada.", "N.º de tarjeta: {}"),
        "cn-resident": ("Documento chino {} comprobado.", "Documento: {}"),
        "es-dni": ("DNI {} verificado.", "NIF: {}", "Presenta el documento {} en tienda.", "Titular con DNI {}."),
        "es-nie": ("NIE {} verificado.", "Extranjero con NIE {}.", "NIE: {}"),
        "other": ("Documento {} presentado.", "Identificación: {}"),
        "own": ("{} llamó por la factura.", "Hablé con {} hoy.", "Ficha: {}", "Nota para {}: dar seguimiento."),
    },
}  # fmt: skip
PLAIN = {
    "zh": ("关于{}，已处理。", "{}有问题，请查看。", "涉及{}的投诉已关闭。", "参考：{}"),
    "en": ("About {}: solved.", "There is a problem with {}.", "Complaint on {} closed.", "Reference {}"),
    "de": ("Zu {}: erledigt.", "Es gibt ein Problem mit {}.", "Beschwerde zu {} geschlossen.", "Referenz {}"),
    "es": ("Sobre {}: resuelto.", "Hay un problema con {}.", "Reclamación de {} cerrada.", "Referencia {}"),
}  # fmt: skip
EMPTY = {
    "zh": ("客户很满意。", "等待回复。", "已转交技术部门。"),
    "en": ("Customer was happy.", "Waiting for an answer.", "Passed to the technicians."),
    "de": ("Kunde war zufrieden.", "Antwort steht aus.", "An die Technik weitergegeben."),
    "es": ("El cliente quedó satisfecho.", "A la espera de respuesta.", "Pasado a los técnicos."),
}
OTHERS = {  # outside the declared scope: another person, a place, a plate
    "zh": (("同事赵敏在场", "赵敏", "other person"), ("地址：杭州市西湖区文三路 18 号", "杭州市西湖区文三路 18 号", "other address"), ("车牌京A·12345", "京A·12345", "plate")),
    "en": (("colleague Peter Quill was there", "Peter Quill", "other person"), ("send it to 4 Privet Drive, Surrey", "4 Privet Drive, Surrey", "other address"), ("car AB12 CDE", "AB12 CDE", "plate")),
    "de": (("Kollegin Petra Vogt war dabei", "Petra Vogt", "other person"), ("an Gartenweg 3, 01067 Dresden", "Gartenweg 3, 01067 Dresden", "other address"), ("Wagen B-AB 1234", "B-AB 1234", "plate")),
    "es": (("con la colega Lucía Prado", "Lucía Prado", "other person"), ("a Calle Mayor 5, Toledo", "Calle Mayor 5, Toledo", "other address"), ("coche 1234 BBC", "1234 BBC", "plate")),
}  # fmt: skip
