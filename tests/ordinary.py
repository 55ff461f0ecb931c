"""Ordinary sentences of customer service, each with a word or number that a careless rule trips over."""

ZH = """
帮我查一下话费还剩多少
我想把彩铃业务取消掉
这个月流量怎么用得这么快
系统提示无法生成订单，麻烦看一下
付款码一直无法生成，是什么原因
我不知道15号扣的是什么钱
你知道3号那笔扣款是怎么回事吗
频道5号怎么看不了了
请问怎么弄12号的账单
线路2号老是断线怎么回事
给我带来很大麻烦，你们要赔偿
这事儿太大麻烦你们再核实一下
银行说要做反洗钱核查，需要我提供什么
能去税务局代开发票吗
我老是收到垃圾短信，怎么屏蔽
请拨打400-820-8820咨询
客服热线是95588还是10086
订单从2024-01-15到2024-02-15都没有更新
账单周期是20240101-20240131吗
2024-01-01 10086给我发的短信是什么意思
我昨天10:30-12:45一直打不进来
我要转1000000元，有限额吗
密码可以设成6位数字吗
尾号1234的卡被冻结了
我的卡是6222****5678，查一下余额
手机号138****5678的机主想改套餐
合同样本可以发我看看吗
我要看一下血液样本的检测结果
想寄个样本给你们检测
下面是我的流量数据，你帮我看看
以下是您的3条订单，请确认
价格(金额)显示不对
账单（日期）写错了
请在联系方式（电话）那一栏填写
我用的是阿里云ECS服务器
想换新SAMSUNG手机，有优惠吗
营业厅在哪条路上，走路几分钟
我叫了外卖，两个小时还没到
她叫我打这个电话来问的
我叫什么名字你们系统里没有吗
我的名字是不是写错了
户主是谁能查到吗
喂，您好，听得到吗
喂喂喂，能听见吗
好的好的，谢谢
能不能给我的宽带提个速
太坑了，你们自动给我开了业务
一二三四五六七，这几档套餐有什么区别
八九十块钱的套餐有没有
积分能换什么东西
把我的副卡停机保号
上个月15号到这个月15号的通话记录
APP里显示"系统繁忙"，登不上去
一条道走到黑吗，换个办法行不行
我要投诉你们的智能助手，答非所问
能不能别让机器人回答，转人工
他叫高兴了一阵又白高兴
发票抬头怎么改，说明在哪里
3张卡，每张100元，共300元
帮我把2号套餐换成5号套餐
机主叫方便的时候回个电话
我的姓名是不是登记错了，改一下
"""

EN = """
How do I check my balance?
Please cancel my subscription
I can't create an account on your website
I cannot write to support because the form is broken
I am unable to create a new PIN
The app can't generate a statement for May
I can't help but notice the extra fee
I won't write another complaint unless I have to
Here is an example of the charge I mean
Here are some examples of the transactions I don't recognise
This is one of the sample cards you mailed me
Can I get a free sample of the product?
Please call 1-800-555-0199 if it fails
I was told to ring 800-555-0123
My card ending in 1234 was declined
Why was I charged twice on 2024-01-15 and 2024-02-15?
The invoice period is 20240101-20240131
I tried between 10:30-12:45 without luck
I want to transfer 1000000 dollars
What is the limit, 1,000,000 or 10,000,000?
It won't work <3 days after I ordered
I waited 5 > 3 days
The price was [sic] wrong
I have 5 Google Drive accounts
Do you have an anti-money laundering check?
My grape juice order is missing
The drapery I ordered has not arrived
I live in Scunthorpe and my parcel is late
Where can I find the sex field in the profile form?
I need to see an assistant
Is there a person I can talk to, not an AI?
Do you use AI in your support chat?
My name is not on the account
My name is spelled wrong
The name is misspelt on the card
I'm sorry, I can't find the confirmation number
Sorry, I cannot open the link
I can't assist my mother with her login from abroad
Please note that I moved last month
What does the label on the box say?
My conversation with the agent was cut off
You said "we will call you"
Which class is my ticket in?
Where is the data settings page?
The set date was wrong
I was shot down by your agent when I asked
My flight was killed off the schedule
My 2 cents: the app is slow
I need 3 copies - one for me, one for him
What's the address of the branch?
Send it to my other address
Do I need to give my phone number?
What is the exchange rate from USD to EUR?
Order #12345678 has not arrived
The code 482913 does not work
Is 24/7 support available?
I've been waiting since 9 a.m. for a reply
The total is $1,234.56
Please use version 10.4.2 of the app
Can I top up by cheque?
The Court Drive branch is closed
Can I use Apple Pay on my phone?
"""
